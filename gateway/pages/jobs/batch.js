/** A batch: how far its jobs are, which of them failed, and what can be done about that. */

import { jobAddress } from "../addresses.js";
import { find, make, show } from "../elements.js";
import { stateTag } from "./list.js";

export class BatchView {
  #acts;

  /** `acts` are what its buttons do: cancel and retry. */
  constructor(acts) {
    this.#acts = acts;
  }

  /** The answer of GET /batches/{batch_id}. */
  show(batch) {
    const parts = [head(batch), this.#actions(batch), batch.failures.length > 0 && failures(batch)];
    show(find("job"), parts.filter(Boolean));
  }

  focus() {
    find("job").querySelector("h2")?.focus();
  }

  #actions({ batch_id: batchId, counts }) {
    const act = (name, text, does, look) => make("button", { type: "button", class: look, "data-name": name, onclick: () => does(batchId) }, text);
    const hasUnfinished = !hasEnded({ counts });
    const build = () => make("div", { class: "acts" },
      hasUnfinished && act("cancel", "Cancel what has not ended…", this.#acts.cancel, "danger"),
      counts.failed > 0 && act("retry", "Retry what failed…", this.#acts.retry, "primary"));
    return { key: "actions", of: [batchId, hasUnfinished, counts.failed > 0], make: build };
  }
}

export const hasEnded = ({ counts }) => counts.queued + counts.running === 0;

/** In words, for one that is read aloud. */
export function countsOf({ counts }) {
  return Object.entries(counts).filter(([, number]) => number).map(([status, number]) => `${number} ${status}`).join(", ") || "no job is kept";
}

function head({ batch_id: batchId, counts }) {
  const entries = Object.entries(counts).map(([status, number]) => make("div", {}, make("dt", {}, stateTag([status, status])), make("dd", {}, `${number}`)));
  const build = () => make("div", {},
    make("h2", { tabindex: "-1", "data-name": "head" }, "Batch ", make("span", { class: "quiet" }, batchId)),
    make("dl", { class: "facts counts" }, entries));
  return { key: "head", of: [batchId, counts], make: build };
}

function failures({ failures: failed }) {
  const entry = ({ job_id: jobId, username, namespace, reason, summary }) => make("li", {},
    make("a", { href: jobAddress(jobId), "data-name": jobId }, username ?? jobId),
    namespace && namespace !== username && ` in namespace ${namespace}`,
    make("p", {}, reason && [make("code", {}, reason), " "], summary));
  const build = () => make("section", {}, make("h3", { id: "failures-title" }, "Failed"), make("ol", { class: "steps", "aria-labelledby": "failures-title" }, failed.map(entry)));
  return { key: "failures", of: failed, make: build };
}
