/** What a job would do, shown before it is submitted. */

import { find, make } from "../elements.js";
import { failureNote, listNote, problemNote } from "../notes.js";
import { Refused, ServiceError, Unanswered } from "../service.js";
import { stepName } from "./job.js";
import { stateTag } from "./list.js";

const CONCLUSIONS = {
  change: ["note foreseen", "This is what it would do."],
  nothing: ["note fine", "All is so already: it would change nothing."],
  fail: ["note failure", "It would fail."],
};

const SOON_MILLISECONDS = 250; // what is told sooner needs no word that it is under way

export function newKey() {
  return crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16)).join("");
}

export class PlanDialog {
  #service;
  #dialog = find("plan");
  #ask = null;

  constructor(service) {
    this.#service = service;
    find("plan-back").onclick = () => this.#dialog.close();
    find("plan-form").onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    // What is on its way is not left: nobody would be told of its job.
    this.#dialog.oncancel = (event) => { if (find("plan-yes").disabled) event.preventDefault(); };
    this.#dialog.onclose = () => this.#end(null);
  }

  /**
   * Submits `{title, yes, isDanger, method, path, query, body, headers}` once its plan was seen, always under the same
   * Idempotency-Key. Gives the job's id, or null when it was left. Throws Refused for what no plan is made of.
   */
  async submit(wanted) {
    if (this.#ask) return null;
    const asked = { ...wanted, headers: { "Idempotency-Key": newKey(), ...wanted.headers } };
    const answered = new Promise((resolve) => { asked.resolve = resolve; });
    this.#ask = asked;
    const opening = setTimeout(() => this.#open(wanted), SOON_MILLISECONDS);
    try {
      const plan = await this.#plan(wanted);
      if (this.#ask === asked) this.#show(wanted, plan);
    } catch (error) {
      if (this.#ask !== asked) return null; // it was left meanwhile
      this.#end(null);
      throw error;
    } finally {
      clearTimeout(opening);
    }
    return await answered;
  }

  /** Where nobody can tell what it would do, `{untold}` says why: a job may be submitted all the same. */
  async #plan({ method, path, query, body, headers }) {
    const { "Idempotency-Key": _, ...others } = headers ?? {};
    try {
      return await this.#service.call(method, addressOf(path, { ...query, dry_run: true }), { body, headers: others });
    } catch (error) {
      if (error instanceof Unanswered || (error instanceof Refused && error.status >= 500)) return { untold: error };
      throw error;
    }
  }

  /** What takes a while is said to be under way. */
  #open({ title }) {
    find("plan-title").textContent = title;
    find("plan-problem").replaceChildren();
    find("plan-steps").replaceChildren(make("p", {}, "Asking the cluster what it would do…"));
    find("plan-yes").hidden = true;
    this.#dialog.showModal();
    find("plan-title").focus();
  }

  #show(wanted, plan) {
    if (!this.#dialog.open) this.#open(wanted);
    find("plan-steps").replaceChildren(...(plan.untold ? untold(plan.untold) : told(plan)));
    find("plan-yes").hidden = false;
    find("plan-yes").textContent = wanted.yes ?? "Submit";
    find("plan-yes").className = wanted.isDanger ? "danger" : plan.would === "fail" ? "" : "primary";
  }

  async #submit() {
    const asked = this.#ask;
    if (!asked || find("plan-yes").disabled || find("plan-yes").hidden) return;
    find("plan-yes").disabled = find("plan-back").disabled = true;
    try {
      const accepted = await this.#service.call(asked.method, addressOf(asked.path, asked.query), asked);
      this.#end(accepted.job_id);
    } catch (error) {
      this.#refuse(error);
    } finally {
      find("plan-yes").disabled = find("plan-back").disabled = false;
    }
  }

  #refuse(error) {
    if (!(error instanceof ServiceError)) throw error;
    find("plan-problem").replaceChildren(problemNote(error, "Not submitted: "));
    find("plan-title").scrollIntoView();
  }

  #end(jobId) {
    const asked = this.#ask;
    this.#ask = null;
    this.#dialog.close();
    asked?.resolve(jobId);
  }
}

function addressOf(path, query) {
  const text = new URLSearchParams(query).toString();
  return text ? `${path}?${text}` : path;
}

function untold(error) {
  return [problemNote(error, "What it would do cannot be told: "), make("p", { class: "quiet" }, "Submitted, the job waits until a handler is there.")];
}

function told(plan) {
  const [look, text] = CONCLUSIONS[plan.would] ?? ["note", plan.would];
  return [
    make("p", { class: look }, text),
    plan.warnings.length > 0 && listNote(plan.warnings, "To be known"),
    make("h3", { id: "plan-steps-title" }, "Steps"),
    make("ol", { class: "steps", "aria-labelledby": "plan-steps-title" }, plan.steps.map(stepEntry)),
    make("details", {}, make("summary", {}, "Request with its defaults"), make("pre", { tabindex: "0" }, JSON.stringify(plan.inputs, null, 2))),
  ].filter(Boolean);
}

function stepEntry(step) {
  return make("li", {},
    make("div", { class: "step-head" }, make("b", {}, stepName(step.name)), stateTag([lookOf(step.outcome), step.outcome])),
    step.error && failureNote(step.error, "Refused: "),
    stepDetails(step));
}

function lookOf(outcome) {
  if (outcome.startsWith("refused")) return "failed";
  return outcome.startsWith("would") ? "would" : outcome;
}

function stepDetails({ name, commands, manifest_preview: manifest, diff }) {
  if (!commands.length && !manifest && !diff) return null;
  const block = (title, text) => text && [make("p", { class: "quiet" }, title), make("pre", { tabindex: "0" }, text)];
  const body = [block("Commands", commands.join("\n")), block("What changes", diff), block("Manifest", manifest)];
  return make("details", { "data-name": `planned ${name}` }, make("summary", {}, "Commands and changes"), ...body.filter(Boolean));
}
