/** The form that takes a namespace away, or a whole tenant. It asks for the name, and shows the plan before anything is submitted. */

import { find } from "../elements.js";
import { PlannedForm } from "../form.js";

/** The members of the request that each choice sets. */
const FATES = { empty: {}, all: { delete_databases: true }, stays: { keep_namespace: true } };

const wasThereBefore = ({ wanted }) => wanted?.adopted !== false;

export class OffboardForm extends PlannedForm {
  #asked = null;

  constructor(submit) {
    super("offboard", submit);
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
  #open({ namespaces, ...asked }) {
    this.#asked = asked;
    this.form.reset();
    this.form.elements.fate.value = namespaces.some(wasThereBefore) ? "stays" : "empty";
    find("offboard-title").textContent = asked.title;
    find("offboard-name").textContent = asked.name;
    this.show("confirm");
  }

  wanted() {
    const { name, path, title } = this.#asked;
    const { confirm, fate, delete_account: withAccount } = this.form.elements;
    if (confirm.value.trim() !== name) {
      this.tellField({ field: "confirm", message: `Type the name as it is: ${name}` });
      confirm.focus();
      return null;
    }
    const query = { ...FATES[fate.value], ...(withAccount.checked && { delete_account: true }), confirm: name };
    return { title, yes: "Take it away", isDanger: true, method: "DELETE", path, query };
  }
}
