/** The theme that a person has chosen in this browser; without one the system's. */

import { find } from "./elements.js";

const THEME = "everest-bootstrap-theme"; // in localStorage

export function keepTheme() {
  const set = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  };
  const select = find("theme");
  select.value = localStorage.getItem(THEME) ?? "";
  set(select.value);
  select.onchange = () => {
    localStorage.setItem(THEME, select.value);
    set(select.value);
  };
}
