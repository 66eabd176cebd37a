/** Moments and how long ago they are, by the gateway's clock. */

import { make } from "./elements.js";

let skewMilliseconds = 0;

/** Both clocks tell whole seconds apart at best; a smaller difference is none. */
export function noteServerTime(date) {
  const difference = Date.parse(date) - Date.now();
  if (Number.isFinite(difference)) skewMilliseconds = Math.abs(difference) > 2000 ? difference : 0;
}

export const now = () => Date.now() + skewMilliseconds;

export function ago(moment) {
  const seconds = Math.max(0, Math.round((now() - Date.parse(moment)) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** How long it took, or takes. */
export function between(started, finished) {
  const seconds = Math.max(0, ((finished ? Date.parse(finished) : now()) - Date.parse(started)) / 1000);
  if (seconds < 10) return `${finished ? seconds.toFixed(2) : Math.floor(seconds)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export const local = (moment) => new Date(moment).toLocaleString();

export function sinceTime(moment) {
  return make("time", { datetime: moment, title: local(moment), "data-ago": moment }, ago(moment));
}

export function takenTime(started, finished) {
  return make("span", { "data-started": finished ? false : started }, between(started, finished));
}

/** Once a second what is said of passing time is said anew. */
export function keepTime() {
  setInterval(() => {
    for (const element of document.querySelectorAll("[data-ago]")) say(element, ago(element.dataset.ago));
    for (const element of document.querySelectorAll("[data-started]")) say(element, between(element.dataset.started));
  }, 1000);
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Over after so long, or as soon as the signal is aborted. */
export function pause(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
