/** The form of a new tenant, or of a change. Its plan is shown before it is submitted. The gateway judges it; what it says is shown beside the field it is about. */

import { find, make } from "../elements.js";
import { Refused } from "../service.js";
import { newKey } from "./plan.js";

/** A box that says what is not to be sends false; lines are a list. */
function valueOf(field, given) {
  if ("unless" in field.dataset) return false;
  return "lines" in field.dataset ? given.split("\n").map((line) => line.trim()).filter(Boolean) : given;
}

export class RequestForm {
  #submit;
  #form = find("request");
  #dialog = find("submit");
  #idempotencyKey = null;
  #declared = null;

  /** `submit` shows the plan, and gives whether it was submitted. */
  constructor(submit) {
    this.#submit = submit;
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    // The same form sent twice is one job; a changed one is another request.
    this.#form.oninput = () => { this.#idempotencyKey = null; };
    this.#form.querySelector("[data-close]").onclick = () => this.#dialog.close();
  }

  /** With what an earlier request asked for, or empty. With a `generation` it is a change of what is wanted since then. */
  open(inputs = {}, generation = null) {
    this.#form.reset();
    this.#idempotencyKey = null;
    this.#declared = generation && { username: inputs.username, namespace: inputs.namespace, generation };
    find("submit-title").textContent = generation ? `Change ${inputs.namespace} of ${inputs.username}` : "New tenant";
    for (const name of ["username", "namespace"]) this.#form.elements[name].readOnly = Boolean(generation);
    this.#tell(null);
    for (const field of this.#fields()) {
      const value = field.name.split(".").reduce((part, name) => part?.[name], inputs);
      if (field.type === "checkbox") field.checked = value === !("unless" in field.dataset);
      else field.value = Array.isArray(value) ? value.join("\n") : value ?? "";
    }
    this.#dialog.showModal();
    this.#form.elements.username.focus();
  }

  async #send() {
    const button = this.#form.querySelector(".primary");
    if (button.disabled) return;
    button.disabled = true;
    this.#tell(null);
    this.#idempotencyKey ??= newKey();
    try {
      if (await this.#submit(this.#wanted())) this.#dialog.close();
    } catch (error) {
      this.#tell(error);
    } finally {
      button.disabled = false;
    }
  }

  #wanted() {
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
    for (const field of this.#fields()) {
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

  #fields() {
    return [...this.#form.elements].filter((element) => element.name);
  }

  #tell(error) {
    for (const place of this.#form.querySelectorAll(".problem")) place.replaceChildren();
    for (const field of this.#fields()) field.removeAttribute("aria-invalid");
    if (!error) return;
    const told = (error instanceof Refused && error.problem.fields) || [];
    const untold = told.filter((problem) => !this.#tellField(problem));
    const hint = error.problem?.hint;
    find("request-problem").append(
      make("p", {}, told.length && !untold.length ? "Not submitted: see the fields below." : `Not submitted: ${error.message}`),
      ...untold.map((problem) => make("p", {}, `${problem.field} ${problem.message}`)),
      ...(hint && !told.length ? [make("p", {}, hint)] : []),
    );
    this.#form.querySelector('[aria-invalid="true"]')?.focus();
  }

  /** False when the form has no such field. */
  #tellField({ field: name, message }) {
    const field = this.#fields().find((candidate) => candidate.name === name);
    const place = field && [...field.getAttribute("aria-describedby")?.split(" ") ?? []].map(find).find((element) => element?.classList.contains("problem"));
    if (!place) return false;
    place.textContent = message[0].toUpperCase() + message.slice(1);
    field.setAttribute("aria-invalid", "true");
    return true;
  }
}
