/** What the page says beside what it shows: aloud, as a problem at its head, and as a question before something ends. */

import { find } from "./elements.js";

/** Read aloud by a screen reader; the page shows it anyway. */
export function say(text) {
  find("said").textContent = text;
}

/** `error` is a ServiceError; null takes the last one away. */
export function showTrouble(error) {
  const place = find("trouble");
  const { title, detail, hint } = error?.problem ?? {};
  const text = error && [`${title}.` === detail ? null : title, error.problem ? detail : error.message, hint].filter(Boolean).join(" · ");
  place.hidden = !error;
  if (place.textContent !== (text ?? "")) place.textContent = text ?? "";
}

/** Whether a person confirms; `yes` is what the button says. */
export function isSure(title, text, yes, look = "danger") {
  const dialog = find("sure");
  find("sure-title").textContent = title;
  find("sure-text").textContent = text;
  find("sure-yes").textContent = yes;
  find("sure-yes").className = look;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
