/** The list of tenants, as the claims in the cluster have it, and the one that is chosen. */

import { find, make, show } from "../elements.js";
import { stateTag } from "../jobs/list.js";
import { problemNote } from "../notes.js";
import { Refused } from "../service.js";
import { TenantView } from "./tenant.js";

const PAGE = 50;
const CHOOSE = "Choose a tenant to see its namespaces.";

export class Tenants {
  #service;
  #acts;
  #view;
  #tenants = [];
  #cursor = null;
  #chosen = "";
  #isRead = false;
  #looks = 0;
  #timer = null;

  /** `acts` are what it leaves to the page: choose, submit, what a tenant's buttons do, tell of errors, and say. */
  constructor(service, acts) {
    this.#service = service;
    this.#acts = acts;
    this.#view = new TenantView({ ...acts, submit: (wanted) => this.#submit(wanted) });
    find("tenant-filters").onsubmit = (event) => event.preventDefault();
    find("tenant-filters").oninput = () => this.#filter();
    find("tenants-again").onclick = () => this.#lookAgain();
    find("tenants-more").onclick = () => this.#read(this.#cursor);
  }

  /** Looks at the cluster: at the list once, at the tenant each time. */
  async choose(username, takeFocus) {
    this.#chosen = username;
    this.#tell(null);
    this.#view.showNothing(username ? `Looking at ${username} in the cluster…` : CHOOSE);
    this.#show();
    const listed = this.#isRead ? null : this.#read();
    if (takeFocus && !username) find("tenants-title").focus();
    await listed;
    await this.#look(takeFocus);
  }

  /** What was read may be so no longer. */
  forget() {
    this.#isRead = false;
    this.#looks++;
    clearTimeout(this.#timer);
  }

  async #lookAgain() {
    await this.#read();
    await this.#look(false);
  }

  #filter() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#read(), 250);
  }

  /** The first page, or the one behind a cursor. */
  async #read(cursor = null) {
    const looks = ++this.#looks;
    find("tenants-count").textContent = "Looking at the cluster…";
    try {
      const page = await this.#service.call("GET", `/tenants?${this.#query(cursor)}`);
      if (looks !== this.#looks) return; // another answer is under way for other filters
      this.#tenants = cursor ? [...this.#tenants, ...page.tenants] : page.tenants;
      this.#cursor = page.next_cursor;
      this.#isRead = true;
      this.#tell(null);
      this.#show();
      if (cursor) this.#focus(page.tenants[0]?.username);
    } catch (error) {
      if (looks !== this.#looks) return;
      find("tenants-count").textContent = "";
      this.#tell(error);
    }
  }

  #query(cursor) {
    const query = new URLSearchParams({ limit: PAGE });
    const filters = new FormData(find("tenant-filters"));
    const username = filters.get("username").trim();
    if (username) query.set("username", username);
    if (filters.has("differs")) query.set("differs", "true");
    if (cursor) query.set("cursor", cursor);
    return query;
  }

  async #look(takeFocus) {
    const username = this.#chosen;
    if (!username) return;
    try {
      const tenant = await this.#service.call("GET", `/tenants/${encodeURIComponent(username)}`);
      if (this.#chosen !== username) return;
      this.#view.show(tenant);
      this.#acts.say(`${username}: ${this.#view.stateOf(tenant.data)[1]}`);
      if (takeFocus) this.#view.focus();
    } catch (error) {
      if (this.#chosen !== username) return;
      this.#view.showNothing(error instanceof Refused && error.status === 404 ? `There is no tenant ${username}.` : "It could not be looked at.");
      this.#tell(error);
    }
  }

  async #submit(wanted) {
    try {
      await this.#acts.submit(wanted);
      this.#tell(null);
    } catch (error) {
      this.#tell(error);
    }
  }

  #tell(error) {
    const place = find("tenants-problem");
    place.replaceChildren();
    if (error) this.#acts.tell(error, () => place.append(problemNote(error, "Not done: ")));
  }

  #focus(username) {
    if (username) find("tenant-list").querySelector(`[data-name="${CSS.escape(username)}"]`)?.focus();
  }

  #show() {
    show(find("tenant-list"), this.#tenants.map((tenant) => this.#entry(tenant)));
    find("tenants-more").hidden = !this.#cursor;
    if (!this.#isRead) return;
    const { length } = this.#tenants;
    const some = `${length} ${length === 1 ? "tenant" : "tenants"}${this.#cursor ? ", and there may be more" : ""}`;
    find("tenants-count").textContent = length || this.#cursor ? some : "No tenant is like that.";
  }

  #entry(tenant) {
    const { username, suspended, namespaces, differences, managed_by: manager } = tenant;
    const isChosen = username === this.#chosen;
    const names = namespaces.map(({ name, terminating }) => (terminating ? `${name} (goes)` : name)).join(", ");
    const differs = differences && `${differences.length} ${differences.length === 1 ? "difference" : "differences"}`;
    const build = () => make("li", {}, make(
      "button",
      { type: "button", class: "entry", "aria-current": isChosen && "true", "data-name": username, onclick: () => this.#acts.choose(username) },
      make("b", {}, username),
      suspended ? stateTag(["suspended", "suspended"]) : make("span", {}),
      make("span", { class: "quiet said" }, `${namespaces.length === 1 ? "Namespace" : "Namespaces"} ${names}`, manager && ` · managed by ${manager}`),
      make("span", { class: "quiet when" }, differs || ""),
    ));
    return { key: username, of: [tenant, isChosen], make: build };
  }
}
