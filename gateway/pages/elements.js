/** Elements are made from values, never from markup: what a job says stays text. */

/** `attributes` are set as they are called; those that are false or absent are left out. */
export function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const find = (id) => document.getElementById(id);

/**
 * Shows `parts`, each `{key, of, make}`, as the children of `parent`. A part whose `of` is what it was keeps its element;
 * one that is made anew keeps the focus and the opened details, which are known by their `data-name`.
 */
export function show(parent, parts) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const after = parts.map(({ key, of, make: build }) => {
    const signature = JSON.stringify(of);
    const known = before.get(key);
    if (known && signatures.get(known) === signature) return known;
    const made = build();
    made.dataset.key = key;
    signatures.set(made, signature);
    if (known) takeOver(known, made);
    return made;
  });
  for (const [place, element] of after.entries()) {
    if (parent.children[place] !== element) moveTo(parent, place, element);
  }
  while (parent.children.length > after.length) parent.lastElementChild.remove();
}

const signatures = new WeakMap();

/** An element that moves loses the focus, so it is given back. */
function moveTo(parent, place, element) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  parent.insertBefore(element, parent.children[place] ?? null);
  focused?.focus({ preventScroll: true });
}

function takeOver(known, made) {
  for (const opened of known.querySelectorAll("details[open][data-name]")) {
    const same = made.querySelector(`[data-name="${CSS.escape(opened.dataset.name)}"]`);
    if (same) same.open = true;
  }
  const focused = known.contains(document.activeElement) ? document.activeElement : null;
  known.replaceWith(made);
  const name = focused?.closest("[data-name]")?.dataset.name;
  if (name) {
    const same = made.matches(`[data-name="${CSS.escape(name)}"]`) ? made : made.querySelector(`[data-name="${CSS.escape(name)}"]`);
    (same?.tagName === "DETAILS" ? same.firstElementChild : same)?.focus({ preventScroll: true });
  }
}
