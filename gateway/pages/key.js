/** The form that asks for the key, and what begins and ends with it. */

import { namedBatch, namedJob, namedTenant } from "./addresses.js";
import { find, make } from "./elements.js";
import { showTrouble } from "./messages.js";
import { Refused, Service } from "./service.js";
import { Session } from "./session.js";
import { hideViews, showView } from "./views.js";

const KEY = "everest-bootstrap-key"; // in this tab's sessionStorage, which ends with the tab

export class KeyForm {
  #session = null;

  open() {
    find("enter").onsubmit = (event) => {
      event.preventDefault();
      this.#enter(find("key").value);
    };
    find("leave").onclick = () => this.#leave("");
    const kept = sessionStorage.getItem(KEY);
    if (kept) this.#enter(kept);
    else find("key").focus();
  }

  async #enter(key) {
    const problem = find("key-problem");
    problem.replaceChildren();
    if (!key) {
      this.#refuse("Give a key.");
      return;
    }
    const service = new Service(key);
    try {
      await service.call("GET", "/jobs?limit=1");
    } catch (error) {
      const isWrong = error instanceof Refused && error.status === 401;
      if (isWrong) sessionStorage.removeItem(KEY);
      this.#refuse(isWrong ? "This key is not accepted." : [error.message, error.problem?.hint].filter(Boolean).join(" "));
      return;
    }
    sessionStorage.setItem(KEY, key);
    find("key").value = "";
    this.#show(true);
    this.#session = new Session(service, (reason) => this.#leave(reason));
    this.#session.start();
    this.#notice(service);
    if (!namedJob() && !namedBatch() && namedTenant() === null) find("jobs-title").focus();
  }

  /** What holds for every job of this deployment, once. */
  async #notice(service) {
    const { notices } = await service.call("GET", "/readyz?verbose").catch((error) => error.problem ?? {});
    find("notices").replaceChildren(...(notices ?? []).map((text) => make("li", {}, text)));
    find("notices").hidden = !notices?.length;
  }

  #refuse(text) {
    find("key-problem").append(make("span", {}, text));
    find("key").setAttribute("aria-invalid", "true");
    find("key").focus();
  }

  #leave(reason) {
    this.#session?.end();
    this.#session = null;
    sessionStorage.removeItem(KEY);
    find("notices").hidden = true;
    for (const id of ["list", "job", "count", "notices", "tenant-list", "tenant", "tenants-count", "tenants-problem"]) find(id).replaceChildren();
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    showTrouble(null);
    this.#show(false);
    find("key-problem").replaceChildren();
    find("key").removeAttribute("aria-invalid");
    if (reason) this.#refuse(reason);
    find("key").focus();
  }

  #show(isIn) {
    find("enter").hidden = isIn;
    for (const id of ["leave", "to-jobs", "to-tenants"]) find(id).hidden = !isIn;
    if (isIn) showView(namedTenant() !== null);
    else hideViews();
  }
}
