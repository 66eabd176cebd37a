/** The form of a new tenant, or of a change. Its plan is shown before it is submitted. The gateway judges it; what it says is shown beside the field it is about. */

import { find, make } from "../elements.js";
import { PlannedForm } from "../form.js";
import { newKey } from "./plan.js";

/** A box that says what is not to be sends false; lines are a list. */
function valueOf(field, given) {
  if ("unless" in field.dataset) return false;
  return "lines" in field.dataset ? given.split("\n").map((line) => line.trim()).filter(Boolean) : given;
}

export class RequestForm extends PlannedForm {
  #idempotencyKey = null;
  #declared = null;

  constructor(submit) {
    super("submit", submit);
    // The same form sent twice is one job; a changed one is another request.
    this.form.oninput = () => { this.#idempotencyKey = null; };
  }

  /** With what an earlier request asked for, or empty. With a `generation` it is a change of what is wanted since then. */
  open(inputs = {}, generation = null) {
    this.form.reset();
    this.#idempotencyKey = null;
    this.#declared = generation && { username: inputs.username, namespace: inputs.namespace, generation };
    find("submit-title").textContent = generation ? `Change ${inputs.namespace} of ${inputs.username}` : "New tenant";
    for (const name of ["username", "namespace"]) this.form.elements[name].readOnly = Boolean(generation);
    for (const field of this.fields) {
      const value = field.name.split(".").reduce((part, name) => part?.[name], inputs);
      if (field.type === "checkbox") field.checked = value === !("unless" in field.dataset);
      else field.value = Array.isArray(value) ? value.join("\n") : value ?? "";
    }
    this.show("username");
  }

  wanted() {
    this.#idempotencyKey ??= newKey();
    const body = this.#read();
    const key = { "Idempotency-Key": this.#idempotencyKey };
    if (!this.#declared) return { title: `Onboard ${body.username}?`, method: "POST", path: "/bootstrap/users", body, headers: key };
    const { username, namespace, generation } = this.#declared;
    const { username: _, namespace: __, ...declaration } = body;
    const path = `/tenants/${encodeURIComponent(username)}/namespaces/${encodeURIComponent(namespace)}`;
    const headers = { ...key, "If-Match": `"${generation}"` };
    return { title: `Change ${namespace} of ${username}?`, method: "PUT", path, body: declaration, headers };
  }

  /** What was left empty stays absent, so that the defaults are the service's. */
  #read() {
    const request = {};
    for (const field of this.fields) {
      const given = field.type === "checkbox" ? field.checked : field.value.trim();
      if (!given && field.name !== "username") continue;
      const value = valueOf(field, given);
      const names = field.name.split(".");
      const last = names.pop();
      const part = names.reduce((outer, name) => (outer[name] ??= {}), request);
      part[last] = value;
    }
    return request;
  }

  explain(error, wrong, untold) {
    const hint = !wrong.length && error.problem?.hint;
    return [
      make("p", {}, wrong.length && !untold.length ? "Not submitted: see the fields below." : `Not submitted: ${error.message}`),
      ...untold.map((problem) => make("p", {}, `${problem.field} ${problem.message}`)),
      ...(hint ? [make("p", {}, hint)] : []),
    ];
  }
}
