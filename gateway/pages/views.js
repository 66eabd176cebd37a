/** The two views of the page, jobs and tenants, and how arrow keys move in their lists. */

import { find } from "./elements.js";

/** The tenants, or the jobs; gives whether the other was shown before. */
export function showView(isOfTenants) {
  const isNew = find("tenancy").hidden === isOfTenants;
  find("work").hidden = isOfTenants;
  find("tenancy").hidden = !isOfTenants;
  find(isOfTenants ? "to-tenants" : "to-jobs").setAttribute("aria-current", "page");
  find(isOfTenants ? "to-jobs" : "to-tenants").removeAttribute("aria-current");
  return isNew;
}

export function hideViews() {
  find("work").hidden = find("tenancy").hidden = true;
}

/** Hears `keydown` in a list. */
export function moveInList(event) {
  const way = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const neighbour = way && document.activeElement.closest("li")?.[way];
  if (neighbour) {
    event.preventDefault();
    neighbour.querySelector("button").focus();
  }
}
