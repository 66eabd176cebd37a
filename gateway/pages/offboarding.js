/** The form that takes a namespace away. It asks for the name, and shows the plan before anything is submitted. */

import { find } from "./elements.js";
import { problemNote } from "./plan.js";
import { Refused, Unanswered } from "./service.js";

/** The members of the request that each choice sets. */
const FATES = { empty: {}, all: { delete_databases: true }, stays: { keep_namespace: true } };

export class OffboardForm {
  #submit;
  #form = find("offboard-form");
  #dialog = find("offboard");
  #wanted = null;

  /** `submit` shows the plan, and gives whether it was submitted. */
  constructor(submit) {
    this.#submit = submit;
    find("offboard-back").onclick = () => this.#dialog.close();
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
  }

  /** One that was there before it was claimed stays, unless somebody chooses otherwise. */
  open(username, { name, wanted }, path) {
    this.#wanted = { name, path, title: `Take namespace ${name} of ${username} away?` };
    this.#form.reset();
    this.#form.elements.fate.value = wanted?.adopted === false ? "empty" : "stays";
    find("offboard-title").textContent = this.#wanted.title;
    find("offboard-name").textContent = name;
    this.#tell(null);
    this.#dialog.showModal();
    find("f-confirm").focus();
  }

  async #send() {
    const { name, path, title } = this.#wanted;
    const button = this.#form.querySelector(".primary");
    if (button.disabled) return;
    this.#tell(null);
    if (find("f-confirm").value.trim() !== name) {
      find("p-confirm").textContent = `Type the name as it is: ${name}`;
      find("f-confirm").setAttribute("aria-invalid", "true");
      find("f-confirm").focus();
      return;
    }
    button.disabled = true;
    try {
      const query = { ...FATES[this.#form.elements.fate.value], ...(this.#form.elements.delete_account.checked && { delete_account: true }), confirm: name };
      if (await this.#submit({ title, yes: "Take it away", isDanger: true, method: "DELETE", path, query })) this.#dialog.close();
    } catch (error) {
      this.#tell(error);
    } finally {
      button.disabled = false;
    }
  }

  #tell(error) {
    find("p-confirm").replaceChildren();
    find("f-confirm").removeAttribute("aria-invalid");
    find("offboard-problem").replaceChildren();
    if (!error) return;
    if (!(error instanceof Refused || error instanceof Unanswered)) throw error;
    find("offboard-problem").append(problemNote(error, "Not done: "));
  }
}
