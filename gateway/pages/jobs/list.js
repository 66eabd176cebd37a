/** The list: a page of jobs that is asked for again and again, and older ones when they are wanted. */

import { find, make, show } from "../elements.js";
import { now, sinceTime } from "../moments.js";

export const isFinished = (job) => job.status === "succeeded" || job.status === "failed";
/** A job whose request cannot be read, and a query about nobody, are known by their ids. */
export const nameOf = (job) => job.username ?? `${job.kind} ${job.job_id}`;
const PAGE = 50;
const MOST = 200; // the most that the gateway gives at once

/** What a person reads as the state: a running job that waits for its next try is not busy. */
export function stateOf(job) {
  if (job.status === "running" && job.retry_at) return ["waiting", "waits to retry"];
  if (job.reason === "cancelled") return ["failed", "cancelled"];
  return [job.status, job.status];
}

export function stateTag([look, text]) {
  return make("span", { class: `state ${look}` }, text);
}

export class Jobs {
  #service;
  #choose;
  #jobs = [];
  #wanted = PAGE;
  #cursor = null;
  #chosenId = null;
  #changes = 0;

  /** `choose` is told of a job's id when a person picks one. */
  constructor(service, choose) {
    this.#service = service;
    this.#choose = choose;
  }

  get areSimulated() {
    return this.#jobs.some((job) => job.simulated);
  }

  get hasUnfinished() {
    return this.#jobs.some((job) => !isFinished(job));
  }

  /** Asks for the newest, at least as many as are shown. Throws what the service throws. */
  async refresh() {
    const filters = readFilters();
    const changes = ++this.#changes;
    const page = await this.#read(filters, Math.min(this.#wanted, MOST));
    if (changes !== this.#changes) return; // another answer is under way for other filters
    const ids = new Set(page.jobs.map((job) => job.job_id));
    const oldest = page.jobs.at(-1)?.changed_at;
    const older = page.next_cursor && this.#wanted > MOST ? this.#jobs.filter((job) => !ids.has(job.job_id) && job.changed_at < oldest) : [];
    if (!older.length) this.#cursor = page.next_cursor;
    this.#jobs = [...page.jobs, ...older];
    this.#show();
  }

  /** Older ones, below those that are shown. Throws what the service throws. */
  async readOlder() {
    this.#changes++;
    const page = await this.#read(readFilters(), PAGE, this.#cursor);
    const ids = new Set(this.#jobs.map((job) => job.job_id));
    const older = page.jobs.filter((job) => !ids.has(job.job_id));
    this.#jobs.push(...older);
    this.#wanted = Math.max(this.#wanted + PAGE, this.#jobs.length);
    this.#cursor = page.next_cursor;
    this.#show();
    const first = older[0] && find("list").querySelector(`[data-name="${CSS.escape(older[0].job_id)}"]`);
    first?.focus();
    return older.length;
  }

  /** Filters were changed: what was found under others is no longer shown. */
  startAnew() {
    this.#wanted = PAGE;
    this.#jobs = [];
    this.#cursor = null;
  }

  mark(jobId) {
    this.#chosenId = jobId;
    this.#show();
  }

  /** A job that is known to have changed, before the list tells. */
  update(job) {
    const place = this.#jobs.findIndex((known) => known.job_id === job.job_id);
    if (place < 0 || this.#jobs[place].changed_at > job.changed_at) return;
    this.#jobs[place] = job;
    this.#show();
  }

  async #read(filters, limit, cursor) {
    const query = new URLSearchParams({ ...filters, limit });
    if (cursor) query.set("cursor", cursor);
    return await this.#service.call("GET", `/jobs?${query}`);
  }

  #show() {
    show(find("list"), this.#jobs.map((job) => this.#entry(job)));
    const isFiltered = Object.keys(readFilters()).length > 0;
    const count = `${this.#jobs.length} ${this.#jobs.length === 1 ? "job" : "jobs"}${this.#cursor ? ", and there may be older ones" : ""}`;
    const none = isFiltered ? "No job is like that." : "No jobs yet. Make a first tenant.";
    const text = this.#jobs.length || this.#cursor ? count : none;
    if (find("count").textContent !== text) find("count").textContent = text;
    find("more").hidden = !this.#cursor;
  }

  #entry(job) {
    const isChosen = job.job_id === this.#chosenId;
    const state = stateOf(job);
    const where = job.namespace && job.namespace !== job.username ? `namespace ${job.namespace}` : "";
    const own = job.warnings.length - job.notices.length; // what holds for every job stands at the head of the page
    const warned = own && `${own} ${own === 1 ? "warning" : "warnings"}`;
    const told = [where, warned, job.status !== "succeeded" && job.summary].filter(Boolean).join(" · ") || job.summary;
    const said = job.kind === "bootstrap" ? told : `${job.kind} · ${told}`;
    const build = () => make("li", {}, make(
      "button",
      { type: "button", class: "entry", "aria-current": isChosen && "true", "data-name": job.job_id, onclick: () => this.#choose(job.job_id) },
      make("b", {}, nameOf(job)),
      stateTag(state),
      make("span", { class: "quiet said" }, said),
      make("span", { class: "quiet when" }, sinceTime(job.changed_at)),
    ));
    return { key: job.job_id, of: [state, said, job.changed_at, isChosen], make: build };
  }
}

function readFilters() {
  const filters = {};
  for (const [name, value] of new FormData(find("filters"))) {
    const text = value.trim();
    if (text) filters[name] = name === "since" ? new Date(now() - Number(text) * 1000).toISOString() : text;
  }
  return filters;
}
