/** The form that lets another caller manage a tenant. */

import { find } from "../elements.js";
import { problemNote } from "../jobs/plan.js";
import { Refused, Unanswered } from "../service.js";

export class HandoverForm {
  #submit;
  #form = find("handover-form");
  #dialog = find("handover");
  #tenant = null;

  /** `submit` shows the plan, and gives whether it was submitted. */
  constructor(submit) {
    this.#submit = submit;
    find("handover-back").onclick = () => this.#dialog.close();
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
  }

  open(username, manager, path) {
    this.#tenant = { username, path };
    this.#form.reset();
    find("handover-title").textContent = `Hand ${username} over`;
    find("handover-what").textContent = `${manager ?? "Nobody that is known"} manages it now. A key or publisher that may change its own tenants alone is refused where another manages.`;
    this.#tell(null);
    this.#dialog.showModal();
    find("f-caller").focus();
  }

  async #send() {
    const button = this.#form.querySelector(".primary");
    if (button.disabled) return;
    const { username, path } = this.#tenant;
    const caller = find("f-caller").value.trim();
    button.disabled = true;
    try {
      const wanted = { title: `Let ${caller} manage ${username}?`, yes: "Hand over", method: "POST", path: `${path}/manager`, body: { caller } };
      if (await this.#submit(wanted)) this.#dialog.close();
    } catch (error) {
      this.#tell(error);
    } finally {
      button.disabled = false;
    }
  }

  #tell(error) {
    find("handover-problem").replaceChildren();
    find("p-caller").replaceChildren();
    find("f-caller").removeAttribute("aria-invalid");
    if (!error) return;
    if (!(error instanceof Refused || error instanceof Unanswered)) throw error;
    const wrong = error.problem?.fields?.find(({ field }) => field === "caller");
    if (!wrong) {
      find("handover-problem").append(problemNote(error, "Not done: "));
      return;
    }
    find("p-caller").textContent = wrong.message[0].toUpperCase() + wrong.message.slice(1);
    find("f-caller").setAttribute("aria-invalid", "true");
    find("f-caller").focus();
  }
}
