/** A form in a dialog. What it asks for is shown as a plan before it is submitted; what is wrong with it is told beside its fields. */

import { find } from "./elements.js";
import { problemNote } from "./notes.js";
import { ServiceError } from "./service.js";

/** A form of its own says what is `wanted()`: null where it has told what is wrong itself. */
export class PlannedForm {
  #dialog;
  #submit;

  /** `submit` shows the plan, and gives whether it was submitted. */
  constructor(dialogId, submit) {
    this.#dialog = find(dialogId);
    this.#submit = submit;
    this.form = this.#dialog.querySelector("form");
    this.form.onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    this.form.querySelector("[data-close]").onclick = () => this.#dialog.close();
  }

  get fields() {
    return [...this.form.elements].filter((element) => element.name);
  }

  /** With the focus in the field of that name. */
  show(name) {
    this.#forget();
    this.#dialog.showModal();
    this.form.elements[name].focus();
  }

  /** False when the form has no such field. */
  tellField({ field: name, message }) {
    const field = this.fields.find((candidate) => candidate.name === name);
    const place = field && [...field.getAttribute("aria-describedby")?.split(" ") ?? []].map(find).find((element) => element?.classList.contains("problem"));
    if (!place) return false;
    place.textContent = message[0].toUpperCase() + message.slice(1);
    field.setAttribute("aria-invalid", "true");
    return true;
  }

  /** What stands at the head of the form: nothing where each of the fields that are `wrong` was told, and none is `untold`. */
  explain(error, wrong, untold) {
    return wrong.length && !untold.length ? [] : [problemNote(error, "Not done: ")];
  }

  async #send() {
    const button = this.form.querySelector(".primary");
    if (button.disabled) return;
    this.#forget();
    const wanted = this.wanted();
    if (!wanted) return;
    button.disabled = true;
    try {
      if (await this.#submit(wanted)) this.#dialog.close();
    } catch (error) {
      this.#tell(error);
    } finally {
      button.disabled = false;
    }
  }

  #tell(error) {
    if (!(error instanceof ServiceError)) throw error;
    const wrong = error.problem?.fields ?? [];
    const untold = wrong.filter((problem) => !this.tellField(problem));
    this.form.querySelector("[role=alert]").append(...this.explain(error, wrong, untold));
    this.form.querySelector("[aria-invalid=true]")?.focus();
  }

  #forget() {
    for (const place of this.form.querySelectorAll(".problem, [role=alert]")) place.replaceChildren();
    for (const field of this.fields) field.removeAttribute("aria-invalid");
  }
}
