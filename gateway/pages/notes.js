/** What several views show: what failed and what to do, what differs, what is to be known, and lists of facts. */

import { make } from "./elements.js";

export function failureNote(error, title) {
  return make("div", { class: "note failure" },
    make("b", {}, title, make("a", { href: `docs/errors#${encodeURIComponent(error.code)}` }, make("code", {}, error.code))),
    make("p", {}, error.message),
    error.hint && make("p", { class: "hint" }, make("b", {}, "What to do: "), error.hint));
}

/** What the gateway said, or each field that is wrong, and what to do. */
export function problemNote(error, title) {
  const { code, hint, fields = [] } = error.problem ?? {};
  const message = fields.map((one) => `${one.field} ${one.message}.`).join(" ") || error.message;
  if (code) return failureNote({ code, message, hint }, title);
  return make("div", { class: "note failure" }, make("b", {}, title), error.message);
}

export function differenceNote(differences, none, some) {
  if (!differences.length) return make("p", { class: "note fine" }, none);
  return make("div", { class: "note" },
    make("b", {}, some),
    make("ul", {}, differences.map((difference) => make("li", {}, make("code", {}, difference.what), difference.namespace && ` in ${difference.namespace}:`, ` ${difference.message}`, difference.mend && make("p", { class: "hint" }, make("b", {}, "What to do: "), difference.mend)))));
}

export function listNote(texts, title) {
  return make("div", { class: "note" }, title && make("b", {}, title), make("ul", {}, texts.map((text) => make("li", {}, text))));
}

/** `entries` are names and values; what has no value is left out, and what is `wide` stays on one line. */
export function factList(entries, wide = []) {
  const known = entries.filter(([, value]) => value);
  return make("dl", { class: "facts" }, known.map(([name, value]) => make("div", { class: wide.includes(name) && "wide" }, make("dt", {}, name), make("dd", {}, value))));
}
