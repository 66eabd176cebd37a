/** The form that lets another caller manage a tenant. */

import { find } from "../elements.js";
import { PlannedForm } from "../form.js";

export class HandoverForm extends PlannedForm {
  #tenant = null;

  constructor(submit) {
    super("handover", submit);
  }

  open(username, manager, path) {
    this.#tenant = { username, path };
    this.form.reset();
    find("handover-title").textContent = `Hand ${username} over`;
    find("handover-what").textContent = `${manager ?? "Nobody that is known"} manages it now. A key or publisher that may change its own tenants alone is refused where another manages.`;
    this.show("caller");
  }

  wanted() {
    const { username, path } = this.#tenant;
    const caller = this.form.elements.caller.value.trim();
    return { title: `Let ${caller} manage ${username}?`, yes: "Hand over", method: "POST", path: `${path}/manager`, body: { caller } };
  }
}
