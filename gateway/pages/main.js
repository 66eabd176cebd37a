/** The page: asks for the key, shows the jobs and the tenants, follows the chosen job or batch, and does what its buttons say. */

import { jobAddress, namedBatch, namedJob, namedTenant, namesPlace, tenantAddress } from "./addresses.js";
import { BatchView, countsOf, hasEnded } from "./batch.js";
import { find, make } from "./elements.js";
import { HandoverForm } from "./handover.js";
import { isFinished, Jobs, nameOf, stateOf } from "./jobs.js";
import { JobView, stepName } from "./job.js";
import { keepTime } from "./moments.js";
import { OffboardForm } from "./offboarding.js";
import { PlanDialog } from "./plan.js";
import { RepairsDialog } from "./repairs.js";
import { RequestForm } from "./request.js";
import { Refused, Service, Unanswered } from "./service.js";
import { Tenants } from "./tenants.js";

const KEY = "everest-bootstrap-key"; // in this tab's sessionStorage, which ends with the tab
const THEME = "everest-bootstrap-theme";
const BUSY_SECONDS = 2;
const IDLE_SECONDS = 3;
const AWAY_SECONDS = [1, 2, 5, 10]; // between tries to follow while the gateway is away

class Work {
  #service;
  #leave;
  #jobs;
  #view;
  #batchView;
  #tenants;
  #plan;
  #form;
  #repairs;
  #ending = new AbortController();
  #following = new AbortController();
  #timer = null;
  #job = null;
  #result = null;
  #tenant = null;

  /** `leave` is called, with a reason, when the key is no longer good. */
  constructor(service, leave) {
    this.#service = service;
    this.#leave = leave;
    this.#jobs = new Jobs(service, (jobId) => this.#goTo(jobId));
    this.#plan = new PlanDialog(service);
    const submit = (wanted) => this.#submit(wanted);
    this.#form = new RequestForm(submit);
    const offboarding = new OffboardForm(submit);
    const handover = new HandoverForm(submit);
    this.#repairs = new RepairsDialog(service, { queued: () => this.#queued(), leave });
    this.#tenants = new Tenants(service, {
      choose: (username) => { location.hash = tenantAddress(username); },
      change: (username, { name, wanted, generation }) => this.#form.open({ ...wanted, username, namespace: name }, generation),
      offboard: (username, namespace, path) => offboarding.openForNamespace(username, namespace, path),
      offboardAll: (username, namespaces, path) => offboarding.openForTenant(username, namespaces, path),
      handOver: (username, manager, path) => handover.open(username, manager, path),
      submit,
      leave,
      say,
    });
    this.#view = new JobView({
      cancel: (job) => this.#cancel(job),
      retry: (job) => this.#retry(job, ""),
      retryFromStart: (job) => this.#retry(job, "?from=start"),
      again: (job) => this.#form.open(this.#result?.inputs ?? { username: job.username, namespace: job.namespace }),
      look: (job) => this.#look(job),
    });
    this.#batchView = new BatchView({
      cancel: (batchId) => this.#cancelBatch(batchId),
      retry: (batchId) => this.#retryBatch(batchId),
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
    let seconds = BUSY_SECONDS;
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

  /** Shows and follows the job that the address names, or shows the tenants. */
  async #choose(takeFocus) {
    const jobId = namedJob();
    this.#following.abort();
    this.#following = new AbortController();
    const isNew = showView(namedTenant() !== null);
    if (namedTenant() !== null) {
      await this.#tenants.choose(namedTenant(), takeFocus);
      return;
    }
    if (isNew && takeFocus && !jobId && !namedBatch()) find("jobs-title").focus();
    this.#jobs.mark(jobId);
    if (this.#job?.job_id !== jobId) {
      this.#job = this.#result = this.#tenant = null;
      this.#view.showNothing("Looking…");
    }
    if (namedBatch()) {
      await this.#watchBatch(namedBatch(), this.#following.signal, takeFocus);
      return;
    }
    if (!jobId) {
      this.#view.showNothing("Choose a job to see its steps.");
      return;
    }
    await this.#follow(jobId, this.#following.signal, takeFocus);
  }

  /** Until the job has ended or another one is chosen; a stream that is cut is taken up again where it was. */
  async #follow(jobId, signal, takeFocus) {
    let lastEventId = null;
    let tries = 0;
    while (!signal.aborted) {
      try {
        for await (const event of this.#service.follow(jobId, lastEventId, signal)) {
          if (signal.aborted) return;
          tries = 0;
          if (event.progress) {
            this.#takeProgress(event.progress);
            continue;
          }
          lastEventId = event.id;
          await this.#take(event.job);
          if (takeFocus) this.#view.focus();
          takeFocus = false;
        }
        if (this.#job && isFinished(this.#job)) return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && [401, 404].includes(error.status)) {
          if (error.status === 404) this.#miss(`There is no job ${jobId}; finished ones are kept for a time only.`);
          else this.#tell(error);
          return;
        }
        this.#tell(error);
      }
      await rest(AWAY_SECONDS[Math.min(tries++, AWAY_SECONDS.length - 1)], signal);
    }
  }

  /** Until its jobs have ended or another one is chosen. */
  async #watchBatch(batchId, signal, takeFocus) {
    let told = "";
    while (!signal.aborted) {
      try {
        const batch = await this.#service.call("GET", `/batches/${encodeURIComponent(batchId)}`);
        if (signal.aborted) return;
        this.#batchView.show(batch);
        if (takeFocus) this.#batchView.focus();
        takeFocus = false;
        if (told !== (told = countsOf(batch))) say(`Batch: ${told}`);
        if (hasEnded(batch)) return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && error.status === 404) this.#miss(`There is no batch ${batchId}; finished ones are kept for a time only.`);
        else this.#tell(error);
        if (error instanceof Refused && error.status < 500) return;
      }
      await rest(BUSY_SECONDS, signal);
    }
  }

  async #take(job) {
    const before = this.#job;
    this.#job = job;
    this.#announce(before, job);
    this.#jobs.update(job);
    this.#tellSimulated();
    if (!isFinished(job)) this.#result = null;
    this.#show();
    if (isFinished(job)) {
      this.#tenants.forget();
      try {
        const result = await this.#service.call("GET", `/jobs/${encodeURIComponent(job.job_id)}/result`);
        if (this.#job === job) this.#result = result;
      } catch (error) {
        this.#tell(error);
      }
      this.#show();
    }
  }

  #takeProgress(progress) {
    const step = this.#job?.steps.find((one) => one.name === progress.step);
    if (step?.state !== "running") return; // it has ended since
    step.progress = progress;
    this.#show();
  }

  #miss(text) {
    this.#view.showNothing(text);
    say(text);
  }

  #tellSimulated() {
    find("simulated").hidden = !(this.#jobs.areSimulated || this.#job?.simulated);
  }

  #show() {
    if (this.#job) this.#view.show(this.#job, this.#result, this.#tenant);
  }

  #announce(before, job) {
    const step = job.steps.findLast((one) => one.state !== "pending");
    if (before?.job_id !== job.job_id) say(`${nameOf(job)}: ${stateOf(job)[1]}`);
    else if (before.status !== job.status || before.summary !== job.summary) {
      const what = step && !isFinished(job) ? `, ${stepName(step.name)}` : "";
      say(`${nameOf(job)}: ${stateOf(job)[1]}${what}. ${isFinished(job) ? job.summary : ""}`);
    }
  }

  async #cancel(job) {
    const text = job.status === "queued" ? "It has not started, and ends at once." : "It ends at its next safe point: an installation that runs is finished first.";
    if (!(await isSure(`Cancel the job of ${nameOf(job)}?`, text, "Cancel the job"))) return;
    await this.#act(async () => {
      const answer = await this.#service.call("POST", `/jobs/${encodeURIComponent(job.job_id)}/cancel`);
      say(`Cancelled, ${answer.cancelled}.`);
    });
  }

  async #cancelBatch(batchId) {
    if (!(await isSure("Cancel what has not ended?", "Jobs that have not started end at once, the others at their next safe point.", "Cancel the jobs"))) return;
    await this.#changeBatch(batchId, "cancel");
  }

  async #retryBatch(batchId) {
    if (!(await isSure("Retry what failed?", "Each goes on from the step that failed.", "Retry the jobs", "primary"))) return;
    await this.#changeBatch(batchId, "retry");
  }

  async #changeBatch(batchId, verb) {
    await this.#act(async () => {
      await this.#service.call("POST", `/batches/${encodeURIComponent(batchId)}/${verb}`);
      this.#choose(false);
    });
  }

  async #retry(job, query) {
    await this.#act(async () => {
      await this.#service.call("POST", `/jobs/${encodeURIComponent(job.job_id)}/retry${query}`);
      say("Queued again.");
      this.#choose(true);
    });
  }

  async #look(job) {
    await this.#act(async () => {
      say("Asking the cluster.");
      const tenant = await this.#service.call("GET", `/tenants/${encodeURIComponent(job.username)}`);
      if (this.#job?.job_id !== job.job_id) return;
      this.#tenant = tenant;
      this.#show();
      find("job").querySelector('[data-name="found"]')?.focus();
      say("The cluster has answered.");
    });
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

  #tell(error) {
    if (error instanceof Refused && error.status === 401) this.#leave("The key is no longer accepted.");
    else if (error instanceof Refused || error instanceof Unanswered) showTrouble(error);
    else throw error;
  }
}

/** The tenants, or the jobs; gives whether the other was shown before. */
function showView(isOfTenants) {
  const isNew = find("tenancy").hidden === isOfTenants;
  find("work").hidden = isOfTenants;
  find("tenancy").hidden = !isOfTenants;
  find(isOfTenants ? "to-tenants" : "to-jobs").setAttribute("aria-current", "page");
  find(isOfTenants ? "to-jobs" : "to-tenants").removeAttribute("aria-current");
  return isNew;
}

function showTrouble(error) {
  const place = find("trouble");
  const { title, detail, hint } = error?.problem ?? {};
  const text = error && [`${title}.` === detail ? null : title, error.problem ? detail : error.message, hint].filter(Boolean).join(" · ");
  place.hidden = !error;
  if (place.textContent !== (text ?? "")) place.textContent = text ?? "";
}

/** Read aloud by a screen reader; the page shows it anyway. */
function say(text) {
  find("said").textContent = text;
}

function rest(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

function isSure(title, text, yes, look = "danger") {
  const dialog = find("sure");
  find("sure-title").textContent = title;
  find("sure-text").textContent = text;
  find("sure-yes").textContent = yes;
  find("sure-yes").className = look;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

function moveInList(event) {
  const way = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const neighbour = way && document.activeElement.closest("li")?.[way];
  if (neighbour) {
    event.preventDefault();
    neighbour.querySelector("button").focus();
  }
}

class Door {
  #work = null;

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
    this.#work = new Work(service, (reason) => this.#leave(reason));
    this.#work.start();
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
    this.#work?.end();
    this.#work = null;
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
    else find("work").hidden = find("tenancy").hidden = true;
  }
}

function keepTheme() {
  const set = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  };
  const select = find("theme");
  select.value = localStorage.getItem(THEME) ?? "";
  set(select.value);
  select.onchange = () => {
    localStorage.setItem(THEME, select.value);
    set(select.value);
  };
}

keepTheme();
keepTime();
new Door().open();
