/** All tenants that differ: they are shown first, then repaired, with a job each. */

import { jobAddress } from "../addresses.js";
import { find, make } from "../elements.js";
import { stateTag } from "../jobs/list.js";
import { problemNote } from "../notes.js";

const after = (cursor) => new URLSearchParams(cursor ? { cursor } : {});
const LOOKING = "Looking at each tenant in the cluster…";
const count = (number, what = "tenant") => `${number} ${what}${number === 1 ? "" : "s"}`;

export class RepairsDialog {
  #service;
  #acts;
  #dialog = find("repairs");
  #opened = 0;
  #tenants = [];
  #jobs = [];
  #cursor = null;

  /** `acts` are what it leaves to the page: queued, whenever there are new jobs, and tell of errors. */
  constructor(service, acts) {
    this.#service = service;
    this.#acts = acts;
    find("repairs-back").onclick = () => this.#dialog.close();
    find("repairs-form").onsubmit = (event) => {
      event.preventDefault();
      this.#do(() => this.#repair(), "Go on");
    };
    this.#dialog.onclose = () => { this.#opened++; };
  }

  open() {
    this.#tenants = [];
    this.#jobs = [];
    this.#cursor = null;
    this.#dialog.showModal();
    find("repairs-title").focus();
    this.#do(() => this.#look(), null);
  }

  /** What fails is told, with what can be done then; a dialog that was closed is told nothing. */
  async #do(does, otherwise) {
    const opened = this.#opened;
    find("repairs-problem").replaceChildren();
    try {
      for await (const [state, offer] of does()) {
        if (opened !== this.#opened) return;
        this.#show(state, offer);
      }
    } catch (error) {
      if (opened === this.#opened) this.#tell(error, otherwise);
    }
  }

  async *#look() {
    yield [LOOKING];
    let cursor = null;
    do {
      const page = await this.#service.call("GET", `/tenants?differs=true&${after(cursor)}`);
      this.#tenants.push(...page.tenants);
      cursor = page.next_cursor;
      if (cursor) yield [LOOKING];
    } while (cursor);
    const { length } = this.#tenants;
    const left = this.#tenants.filter(({ suspended }) => suspended).length;
    if (!length) yield ["No tenant differs from what is wanted."];
    else yield [
      `${count(length)} ${length === 1 ? "differs" : "differ"} from what is wanted.${left ? ` ${left} of them suspended: left alone.` : ""}`,
      length > left && `Repair ${count(length - left)}`,
    ];
  }

  /** One answer is about so many as could be looked at in its time. After a failure it goes on where it stood. */
  async *#repair() {
    yield ["Asking for the repairs…"];
    do {
      const answer = await this.#service.call("POST", `/tenants/repair?${after(this.#cursor)}`);
      this.#jobs.push(...answer.jobs);
      this.#cursor = answer.next_cursor;
      if (answer.jobs.length) this.#acts.queued();
      yield [`${count(this.#jobs.length, "job")} so far…`];
    } while (this.#cursor);
    find("repairs-title").focus();
    yield [this.#jobs.length ? `${count(this.#jobs.length, "job")}. The links lead to them.` : "None was repaired: they are no longer different, or others manage them."];
  }

  /** `offer` is what the button says; without one there is none. */
  #show(state, offer) {
    find("repairs-state").textContent = state;
    find("repairs-yes").hidden = !offer;
    find("repairs-yes").textContent = offer || "";
    const shown = new Set(this.#tenants.map(({ username }) => username));
    const found = this.#jobs.filter(({ username }) => !shown.has(username)).map(({ username }) => ({ username, differences: [] }));
    find("repairs-list").replaceChildren(...[...this.#tenants, ...found].map((tenant) => this.#entry(tenant)));
  }

  #entry({ username, suspended, managed_by: manager, differences }) {
    const job = this.#jobs.find((one) => one.username === username);
    const link = job && make("a", { href: jobAddress(job.job_id), onclick: () => this.#dialog.close() }, `Job of ${username}`);
    return make("li", {},
      make("div", { class: "row" }, make("b", {}, username), suspended ? stateTag(["suspended", "suspended"]) : link),
      manager && make("p", { class: "quiet" }, `Managed by ${manager}`),
      make("ul", { class: "bare" }, differences.map(({ namespace, message }) => make("li", {}, namespace && `${namespace}: `, message))));
  }

  #tell(error, offer) {
    this.#acts.tell(error, () => {
      this.#show(this.#jobs.length ? `${count(this.#jobs.length, "job")} so far.` : "", offer);
      find("repairs-problem").append(problemNote(error, "Not done: "));
    });
  }
}
