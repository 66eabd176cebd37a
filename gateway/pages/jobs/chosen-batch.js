/** The chosen batch: asked for again and again until its jobs have ended, and what its buttons do. */

import { isSure, say } from "../messages.js";
import { pause } from "../moments.js";
import { Refused } from "../service.js";
import { BatchView, countsOf, hasEnded } from "./batch.js";

const SECONDS = 2; // between two looks

export class ChosenBatch {
  #service;
  #page;
  #view;

  /** `page` is told: `miss` of a batch that is not there, `tell` of errors. It has `act` and `choose`, as for a job. */
  constructor(service, page) {
    this.#service = service;
    this.#page = page;
    this.#view = new BatchView({
      cancel: (batchId) => this.#cancel(batchId),
      retry: (batchId) => this.#retry(batchId),
    });
  }

  /** Until its jobs have ended or another one is chosen. */
  async follow(batchId, signal, takeFocus) {
    let told = "";
    while (!signal.aborted) {
      try {
        const batch = await this.#service.call("GET", `/batches/${encodeURIComponent(batchId)}`);
        if (signal.aborted) return;
        this.#view.show(batch);
        if (takeFocus) this.#view.focus();
        takeFocus = false;
        if (told !== (told = countsOf(batch))) say(`Batch: ${told}`);
        if (hasEnded(batch)) return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && error.status === 404) this.#page.miss(`There is no batch ${batchId}; finished ones are kept for a time only.`);
        else this.#page.tell(error);
        if (error instanceof Refused && error.status < 500) return;
      }
      await pause(SECONDS, signal);
    }
  }

  async #cancel(batchId) {
    if (!(await isSure("Cancel what has not ended?", "Jobs that have not started end at once, the others at their next safe point.", "Cancel the jobs"))) return;
    await this.#change(batchId, "cancel");
  }

  async #retry(batchId) {
    if (!(await isSure("Retry what failed?", "Each goes on from the step that failed.", "Retry the jobs", "primary"))) return;
    await this.#change(batchId, "retry");
  }

  async #change(batchId, verb) {
    await this.#page.act(async () => {
      await this.#service.call("POST", `/batches/${encodeURIComponent(batchId)}/${verb}`);
      this.#page.choose(false);
    });
  }
}
