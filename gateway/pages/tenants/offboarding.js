/** The form that takes a namespace away, or a whole tenant. It asks for the name, and shows the plan before anything is submitted. */

import { find } from "../elements.js";
import { problemNote } from "../jobs/plan.js";
import { Refused, Unanswered } from "../service.js";

/** The members of the request that each choice sets. */
const FATES = { empty: {}, all: { delete_databases: true }, stays: { keep_namespace: true } };

const wasThereBefore = ({ wanted }) => wanted?.adopted !== false;

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

  openForNamespace(username, namespace, path) {
    const { name } = namespace;
    this.#open({ name, path, title: `Take namespace ${name} of ${username} away?`, namespaces: [namespace] });
    find("offboard-what").textContent = "The rights go first. With the last namespace of a tenant its account goes, where this service made it.";
    find("offboard-fates").textContent = "The namespace";
  }

  openForTenant(username, namespaces, path) {
    this.#open({ name: username, path, title: `Take tenant ${username} away?`, namespaces });
    const names = namespaces.map((one) => (wasThereBefore(one) ? `${one.name} (was there before it was claimed)` : one.name)).join(", ");
    find("offboard-what").textContent = `The rights go first, then in the same job its namespaces: ${names}. At last its account goes, where this service made it.`;
    find("offboard-fates").textContent = namespaces.length === 1 ? "The namespace" : "Each of the namespaces";
  }

  /** What was there before it was claimed stays, unless somebody chooses otherwise. */
  #open({ namespaces, ...wanted }) {
    this.#wanted = wanted;
    this.#form.reset();
    this.#form.elements.fate.value = namespaces.some(wasThereBefore) ? "stays" : "empty";
    find("offboard-title").textContent = wanted.title;
    find("offboard-name").textContent = wanted.name;
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
