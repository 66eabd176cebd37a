/** The chosen job: followed by its stream of events until it has ended, and what its buttons do. */

import { find } from "../elements.js";
import { isSure, say } from "../messages.js";
import { pause } from "../moments.js";
import { Refused } from "../service.js";
import { JobView, stepName } from "./job.js";
import { isFinished, nameOf, stateOf } from "./list.js";

const AWAY_SECONDS = [1, 2, 5, 10]; // between tries to follow while the gateway is away

export class ChosenJob {
  #service;
  #page;
  #view;
  #job = null;
  #result = null;
  #tenant = null;

  /**
   * `page` is told: `changed` of each state of the job, `tell` of errors. It has `act`, for what a button does, `choose`, to
   * follow again, and `submitAgain`, for a form that begins with what was asked for.
   */
  constructor(service, page) {
    this.#service = service;
    this.#page = page;
    this.#view = new JobView({
      cancel: (job) => this.#cancel(job),
      retry: (job) => this.#retry(job, ""),
      retryFromStart: (job) => this.#retry(job, "?from=start"),
      again: (job) => page.submitAgain(this.#result?.inputs ?? { username: job.username, namespace: job.namespace }),
      look: (job) => this.#look(job),
    });
  }

  get isSimulated() {
    return Boolean(this.#job?.simulated);
  }

  /** Nothing is shown any longer of another job. */
  expect(jobId) {
    if (this.#job?.job_id === jobId) return;
    this.#job = this.#result = this.#tenant = null;
    this.#view.showNothing("Looking…");
  }

  showNothing(text) {
    this.#view.showNothing(text);
  }

  /** What the address names is not there. */
  miss(text) {
    this.#view.showNothing(text);
    say(text);
  }

  /** Until the job has ended or another one is chosen; a stream that is cut is taken up again where it was. */
  async follow(jobId, signal, takeFocus) {
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
        if (error instanceof Refused && error.status === 404) {
          this.miss(`There is no job ${jobId}; finished ones are kept for a time only.`);
          return;
        }
        this.#page.tell(error);
        if (error instanceof Refused && error.status === 401) return;
      }
      await pause(AWAY_SECONDS[Math.min(tries++, AWAY_SECONDS.length - 1)], signal);
    }
  }

  async #take(job) {
    this.#announce(this.#job, job);
    this.#job = job;
    this.#page.changed(job);
    if (!isFinished(job)) this.#result = null;
    this.#show();
    if (!isFinished(job)) return;
    try {
      const result = await this.#service.call("GET", `/jobs/${encodeURIComponent(job.job_id)}/result`);
      if (this.#job === job) this.#result = result;
    } catch (error) {
      this.#page.tell(error);
    }
    this.#show();
  }

  #takeProgress(progress) {
    const step = this.#job?.steps.find((one) => one.name === progress.step);
    if (step?.state !== "running") return; // it has ended since
    step.progress = progress;
    this.#show();
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
    await this.#page.act(async () => {
      const answer = await this.#service.call("POST", `/jobs/${encodeURIComponent(job.job_id)}/cancel`);
      say(`Cancelled, ${answer.cancelled}.`);
    });
  }

  async #retry(job, query) {
    await this.#page.act(async () => {
      await this.#service.call("POST", `/jobs/${encodeURIComponent(job.job_id)}/retry${query}`);
      say("Queued again.");
      this.#page.choose(true);
    });
  }

  async #look(job) {
    await this.#page.act(async () => {
      say("Asking the cluster.");
      const tenant = await this.#service.call("GET", `/tenants/${encodeURIComponent(job.username)}`);
      if (this.#job?.job_id !== job.job_id) return;
      this.#tenant = tenant;
      this.#show();
      find("job").querySelector('[data-name="found"]')?.focus();
      say("The cluster has answered.");
    });
  }
}
