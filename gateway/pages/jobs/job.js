/** The chosen job: its state, its steps, what it needs, and what can be done about it. */

import { batchAddress } from "../addresses.js";
import { find, make, show } from "../elements.js";
import { local, sinceTime, takenTime } from "../moments.js";
import { differenceNote, factList, failureNote, listNote } from "../notes.js";
import { isFinished, nameOf, stateOf, stateTag } from "./list.js";

const STEP_NAMES = {
  create_account: "Create the account",
  add_namespace: "Add the namespace",
  apply_resource_quota: "Apply quota and limit range",
  apply_rbac_policy: "Apply the RBAC policy",
  verify_tenant: "Prove that it is usable",
  check_tenant: "See what is there",
  revoke_access: "Take the rights away",
  remove_namespace: "Take the namespace away",
  delete_account: "Delete the account",
  delete_credentials: "Delete the password's Secret",
  pause_databases: "Pause the databases",
  restore_access: "Give the rights back",
  resume_databases: "Start the databases",
  set_password: "Set a new password",
  hand_over: "Let another caller manage it",
};

/** With the same request a retry meets the same refusal. */
const FAULTS_OF_THE_REQUEST = new Set(["invalid_request", "namespace_owned_by_another", "namespace_exists", "role_taken", "quota_rejected", "generation_conflict"]);
const QUERIES = new Set(["accounts-list", "namespaces-list", "tenant", "tenants", "plan"]); // they are asked again, not retried

export const stepName = (name) => STEP_NAMES[name] ?? name;

/** `acts` are what its buttons do: cancel, retry, retryFromStart, again, look. */
export class JobView {
  #acts;

  constructor(acts) {
    this.#acts = acts;
  }

  /** `result` once it is there, `tenant` once it was asked for. */
  show(job, result, tenant) {
    const parts = [
      this.#head(job),
      facts(job),
      job.error && failure(job),
      job.warnings.length > 0 && warnings(job),
      this.#actions(job),
      (job.steps.length > 0 || !isFinished(job)) && steps(job, result),
      result?.credentials_secret && credentials(result.credentials_secret),
      result?.data !== undefined && answered(result.data),
      tenant && found(tenant),
      result && asked(result.inputs),
      job.history?.length > 0 && history(job.history),
    ];
    show(find("job"), parts.filter(Boolean));
  }

  showNothing(text) {
    show(find("job"), [{ key: "empty", of: text, make: () => make("p", { class: "empty" }, text) }]);
  }

  focus() {
    find("job").querySelector("h2")?.focus();
  }

  #head(job) {
    const build = () => make("div", {},
      make("div", { class: "row" },
        make("h2", { tabindex: "-1", "data-name": "head" }, nameOf(job), job.namespace && make("span", { class: "quiet" }, ` in namespace ${job.namespace}`)),
        stateTag(stateOf(job))),
      job.summary !== job.error?.message && make("p", { class: "summary" }, job.summary));
    return { key: "head", of: [job.job_id, stateOf(job), job.summary, job.error], make: build };
  }

  #actions(job) {
    const act = (name, text, does, look) => make("button", { type: "button", class: look, "data-name": name, onclick: does }, text);
    const hasFailed = job.status === "failed";
    const isBootstrap = job.kind === "bootstrap";
    const mayRetry = hasFailed && !QUERIES.has(job.kind) && !FAULTS_OF_THE_REQUEST.has(job.reason);
    const build = () => make("div", { class: "acts" },
      !isFinished(job) && act("cancel", "Cancel", () => this.#acts.cancel(job), "danger"),
      mayRetry && act("retry", "Retry from the failed step", () => this.#acts.retry(job), "primary"),
      mayRetry && act("start", "Retry from the start", () => this.#acts.retryFromStart(job)),
      isFinished(job) && isBootstrap && act("again", "Submit again…", () => this.#acts.again(job), hasFailed && !mayRetry ? "primary" : undefined),
      job.username && act("look", "Look at the cluster", () => this.#acts.look(job)));
    return { key: "actions", of: [job.job_id, job.kind, job.status, job.reason], make: build };
  }
}

const WIDE = ["Job", "Batch", "Request id"]; // ids stay on one line

function facts(job) {
  const entries = [
    ["Job", make("code", {}, job.job_id)],
    ["Kind", job.kind],
    ["Submitted by", job.caller],
    ["Submitted", sinceTime(job.created_at)],
    ["Started", job.started_at && sinceTime(job.started_at)],
    [job.finished_at ? "Took" : "Running for", job.started_at && takenTime(job.started_at, job.finished_at)],
    ["Attempt", job.attempt > 1 && `${job.attempt}`],
    ["Handlers lost", job.losses > 0 && `${job.losses}`],
    ["Next try", job.retry_at && local(job.retry_at)],
    ["Batch", job.batch_id && make("a", { href: batchAddress(job.batch_id) }, make("code", {}, job.batch_id))],
    ["Request id", job.request_id && make("code", {}, job.request_id)],
  ];
  const of = [job.job_id, job.started_at, job.finished_at, job.attempt, job.losses, job.retry_at];
  return { key: "facts", of, make: () => factList(entries, WIDE) };
}

function failure(job) {
  const title = job.status === "failed" ? "Failed: " : "Will be tried again: ";
  return { key: "failure", of: [job.job_id, job.error, title], make: () => failureNote(job.error, title) };
}

function warnings(job) {
  const title = job.warnings.length === 1 ? "Warning" : "Warnings";
  return { key: "warnings", of: [job.job_id, job.warnings], make: () => listNote(job.warnings, title) };
}

function steps(job, result) {
  const detailed = new Map((result?.steps ?? []).map((step) => [step.name, step]));
  const build = () => make("section", {}, make("h3", { id: "steps-title" }, "Steps"), job.steps.length
    ? make("ol", { class: "steps", "aria-labelledby": "steps-title" }, job.steps.map((step) => stepEntry(job, step, detailed.get(step.name))))
    : make("p", { class: "quiet" }, "None has started."));
  return { key: "steps", of: [job.job_id, job.status, job.retry_at, job.steps, Boolean(result)], make: build };
}

function stepEntry(job, step, detailed) {
  const waits = !step.outcome && (job.retry_at || job.status === "queued");
  const state = step.outcome ? [step.outcome, step.outcome] : step.state === "pending" ? ["pending", "to come"] : waits ? ["waiting", "waits"] : ["running", "running"];
  return make("li", {},
    make("div", { class: "step-head" },
      make("b", {}, stepName(step.name)),
      stateTag(state),
      step.started_at && make("span", { class: "took quiet", title: local(step.started_at) }, takenTime(step.started_at, step.finished_at))),
    step.progress && progressNote(step.progress),
    step.error && (!job.error || step.error.message !== job.error.message) && failureNote(step.error, "Failed: "),
    detailed && stepDetails(detailed));
}

/** What is waited for, and the last lines of the command. */
function progressNote(progress) {
  return make("div", { class: "progress" },
    progress.waiting_for?.length > 0 && make("ul", { class: "quiet", "aria-label": "Waiting for" }, progress.waiting_for.map((one) => make("li", {}, `${one.what} ${one.name}: `, make("b", {}, one.state)))),
    make("pre", { tabindex: "0", "data-name": "progress" }, progress.lines || progress.command));
}

function stepDetails(step) {
  const block = (title, text) => text && [make("p", { class: "quiet" }, title), make("pre", {}, text)];
  const lookUps = step.commands.map((command) => `${command.exit_code === null ? "–" : command.exit_code}  ${command.command}`).join("\n");
  const body = [
    step.command ? block(`Deciding command, exit code ${step.exit_code}`, step.command) : make("p", { class: "quiet" }, "It changed nothing."),
    block("Output", step.stdout),
    block("Errors", step.stderr),
    block("Manifest", step.manifest_preview),
    step.rbac_enforced === false && make("p", { class: "note" }, "RBAC is not enabled in this Everest: it grants everybody everything."),
    step.usable === false && make("p", { class: "note" }, "The tenant cannot create a database yet: the warnings say why."),
    block("All commands of the step, with their exit codes", lookUps),
  ];
  return make("details", { "data-name": `step ${step.name}` }, make("summary", {}, "Commands and output"), ...body);
}

function credentials(secret) {
  const build = () => make("section", {},
    make("h3", {}, "Password"),
    make("p", {}, "It is in the Secret ", make("code", {}, secret.name), " in ", make("code", {}, secret.namespace), ". This reads it:"),
    make("pre", { tabindex: "0" }, secret.read_with));
  return { key: "credentials", of: secret, make: build };
}

function answered(answer) {
  return { key: "answer", of: answer, make: () => opened("Answer", answer) };
}

function opened(title, value) {
  return make("section", {}, make("h3", {}, title), make("pre", { tabindex: "0" }, JSON.stringify(value, null, 2)));
}

/** What the cluster holds for the tenant, first of all how that differs from the last job. */
function found(tenant) {
  const { differences, ...rest } = tenant.data ?? {};
  const build = () => make("section", {},
    make("h3", { tabindex: "-1", "data-name": "found" }, "In the cluster"),
    differences && differenceNote(differences, "It is as the tenant's last finished job left it.", "Not as the last finished job left it"),
    tenant.warnings?.length > 0 && listNote(tenant.warnings),
    make("details", { "data-name": "found all" }, make("summary", {}, "All that was found"), make("pre", {}, JSON.stringify(rest, null, 2))));
  return { key: "found", of: tenant, make: build };
}

function asked(inputs) {
  const build = () => make("details", { "data-name": "inputs" }, make("summary", {}, "Request with its defaults"), make("pre", {}, JSON.stringify(inputs, null, 2)));
  return { key: "inputs", of: inputs, make: build };
}

function history(runs) {
  const build = () => make("section", {}, make("h3", {}, "Runs before"), make("ol", { class: "steps" }, runs.map((run) => make("li", {},
    make("p", {}, `Attempt ${run.attempt}`, run.finished_at ? [", ended ", sinceTime(run.finished_at)] : "", ": ", run.steps.map((step) => `${stepName(step.name)} ${step.outcome}`).join(", ") || "no step"),
    run.error && failureNote(run.error, "Failed: ")))));
  return { key: "history", of: runs, make: build };
}
