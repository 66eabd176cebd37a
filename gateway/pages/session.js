/** What a key opens: the lists of jobs and tenants, kept up to date, and what the address chooses of them. */

import { jobAddress, namedBatch, namedJob, namedTenant, namesPlace, tenantAddress } from "./addresses.js";
import { find } from "./elements.js";
import { ChosenBatch } from "./jobs/chosen-batch.js";
import { ChosenJob } from "./jobs/chosen-job.js";
import { isFinished, Jobs } from "./jobs/list.js";
import { PlanDialog } from "./jobs/plan.js";
import { RequestForm } from "./jobs/request.js";
import { say, showTrouble } from "./messages.js";
import { Refused, ServiceError } from "./service.js";
import { HandoverForm } from "./tenants/handover.js";
import { Tenants } from "./tenants/list.js";
import { OffboardForm } from "./tenants/offboarding.js";
import { RepairsDialog } from "./tenants/repairs.js";
import { moveInList, showView } from "./views.js";

const BUSY_SECONDS = 2; // between two looks at the list, while a job of it has not ended
const IDLE_SECONDS = 3;

export class Session {
  #leave;
  #jobs;
  #job;
  #batch;
  #tenants;
  #plan;
  #form;
  #repairs;
  #ending = new AbortController();
  #following = new AbortController();
  #timer = null;

  /** `leave` is called, with a reason, when the key is no longer good. */
  constructor(service, leave) {
    this.#leave = leave;
    this.#jobs = new Jobs(service, (jobId) => this.#goTo(jobId));
    this.#plan = new PlanDialog(service);
    const submit = (wanted) => this.#submit(wanted);
    this.#form = new RequestForm(submit);
    const tell = (error, show) => this.#tell(error, show);
    this.#repairs = new RepairsDialog(service, { queued: () => this.#queued(), tell });
    this.#tenants = this.#makeTenants(service, submit, tell);
    const page = {
      changed: (job) => this.#update(job),
      tell,
      act: (does) => this.#act(does),
      choose: (takeFocus) => this.#choose(takeFocus),
      submitAgain: (inputs) => this.#form.open(inputs),
      miss: (text) => this.#job.miss(text),
    };
    this.#job = new ChosenJob(service, page);
    this.#batch = new ChosenBatch(service, page);
  }

  #makeTenants(service, submit, tell) {
    const offboarding = new OffboardForm(submit);
    const handover = new HandoverForm(submit);
    return new Tenants(service, {
      choose: (username) => { location.hash = tenantAddress(username); },
      change: (username, { name, wanted, generation }) => this.#form.open({ ...wanted, username, namespace: name }, generation),
      offboard: (username, namespace, path) => offboarding.openForNamespace(username, namespace, path),
      offboardAll: (username, namespaces, path) => offboarding.openForTenant(username, namespaces, path),
      handOver: (username, manager, path) => handover.open(username, manager, path),
      submit,
      tell,
      say,
    });
  }

  /** An address that names a job leads to it, also where it is below the list. */
  start() {
    const on = (target, name, does) => target.addEventListener(name, does, { signal: this.#ending.signal });
    on(window, "hashchange", () => namesPlace() && this.#choose(true));
    on(document, "visibilitychange", () => (document.hidden ? this.#rest() : this.#wake()));
    for (const button of document.querySelectorAll("[data-new]")) on(button, "click", () => this.#form.open());
    on(find("more"), "click", () => this.#readOlder());
    on(find("repair-all"), "click", () => this.#repairs.open());
    for (const id of ["list", "tenant-list"]) on(find(id), "keydown", moveInList);
    on(find("filters"), "submit", (event) => event.preventDefault());
    on(find("filters"), "input", () => this.#filter());
    on(find("filters"), "reset", () => setTimeout(() => this.#filter()));
    this.#wake(namedJob() !== "" || namedBatch() !== "" || namedTenant() !== null);
  }

  end() {
    this.#rest();
    this.#tenants.forget();
    this.#ending.abort();
  }

  /** A tab that nobody sees asks for nothing: a browser has few connections to one host. */
  #rest() {
    clearTimeout(this.#timer);
    this.#following.abort();
  }

  /** With the focus, the list comes first: one that grows later would push the job out of sight. */
  async #wake(takeFocus = false) {
    const refreshed = this.#refresh();
    if (takeFocus) await refreshed;
    this.#choose(takeFocus);
  }

  /** Shows the plan; gives whether it was submitted. The job is then the chosen one. Throws Refused. */
  async #submit(wanted) {
    const jobId = await this.#plan.submit(wanted);
    if (!jobId) return false;
    this.#tenants.forget();
    this.#goTo(jobId);
    return true;
  }

  #queued() {
    this.#tenants.forget();
    this.#refresh();
  }

  #goTo(jobId) {
    const hash = jobAddress(jobId);
    if (location.hash === hash) this.#choose(true);
    else location.hash = hash;
    this.#refresh();
  }

  #filter() {
    this.#jobs.startAnew();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refresh(), 250);
  }

  async #refresh() {
    clearTimeout(this.#timer);
    let seconds;
    try {
      await this.#jobs.refresh();
      this.#tellSimulated();
      showTrouble(null);
      seconds = this.#jobs.hasUnfinished ? BUSY_SECONDS : IDLE_SECONDS;
    } catch (error) {
      this.#tell(error);
      seconds = Math.max(IDLE_SECONDS, error.retryAfterSeconds ?? 0);
    }
    if (!this.#ending.signal.aborted && !document.hidden) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#refresh(), seconds * 1000);
    }
  }

  async #readOlder() {
    try {
      say(`${await this.#jobs.readOlder()} older jobs`);
    } catch (error) {
      this.#tell(error);
    }
  }

  /** Shows and follows what the address names: a job, a batch, or the tenants. */
  async #choose(takeFocus) {
    const jobId = namedJob();
    const batchId = namedBatch();
    this.#following.abort();
    this.#following = new AbortController();
    const { signal } = this.#following;
    const isNew = showView(namedTenant() !== null);
    if (namedTenant() !== null) {
      await this.#tenants.choose(namedTenant(), takeFocus);
      return;
    }
    if (isNew && takeFocus && !jobId && !batchId) find("jobs-title").focus();
    this.#jobs.mark(jobId);
    this.#job.expect(jobId);
    if (batchId) await this.#batch.follow(batchId, signal, takeFocus);
    else if (jobId) await this.#job.follow(jobId, signal, takeFocus);
    else this.#job.showNothing("Choose a job to see its steps.");
  }

  #update(job) {
    this.#jobs.update(job);
    this.#tellSimulated();
    if (isFinished(job)) this.#tenants.forget();
  }

  #tellSimulated() {
    find("simulated").hidden = !(this.#jobs.areSimulated || this.#job.isSimulated);
  }

  async #act(does) {
    try {
      await does();
      showTrouble(null);
      this.#refresh();
    } catch (error) {
      this.#tell(error);
    }
  }

  /** `show` is where it is told: at the head of the page, unless a part of it has a place of its own. */
  #tell(error, show = showTrouble) {
    if (!(error instanceof ServiceError)) throw error;
    if (error instanceof Refused && error.status === 401) this.#leave("The key is no longer accepted.");
    else show(error);
  }
}
