/** The chosen tenant: its account, its namespaces as they are wanted, how the cluster differs, and what can be done. */

import { jobAddress } from "../addresses.js";
import { find, make, show } from "../elements.js";
import { stateTag } from "../jobs/list.js";
import { differenceNote, factList, listNote } from "../notes.js";

const pathOf = (username, namespace) => {
  const tenant = `/tenants/${encodeURIComponent(username)}`;
  return namespace ? `${tenant}/namespaces/${encodeURIComponent(namespace)}` : tenant;
};

export class TenantView {
  #acts;

  /** `acts` are what its buttons do: submit, change, handOver, offboard and offboardAll. */
  constructor(acts) {
    this.#acts = acts;
  }

  /** The answer of GET /tenants/{username}. */
  show({ data: tenant, warnings }) {
    const parts = [
      this.#head(tenant),
      facts(tenant),
      warnings?.length > 0 && { key: "warnings", of: warnings, make: () => listNote(warnings) },
      this.#actions(tenant),
      differing(tenant),
      ...tenant.namespaces.map((namespace) => this.#namespace(tenant, namespace)),
    ];
    show(find("tenant"), parts.filter(Boolean));
  }

  showNothing(text) {
    show(find("tenant"), [{ key: "empty", of: text, make: () => make("p", { class: "empty" }, text) }]);
  }

  focus() {
    find("tenant").querySelector("h2")?.focus();
  }

  stateOf({ suspended, differences }) {
    if (suspended) return ["suspended", "suspended"];
    const { length } = differences;
    return length ? ["waiting", length === 1 ? "differs" : `${length} differences`] : ["succeeded", "as wanted"];
  }

  #head(tenant) {
    const build = () => make("div", { class: "row" }, make("h2", { tabindex: "-1", "data-name": "head" }, tenant.username), stateTag(this.stateOf(tenant)));
    return { key: "head", of: tenant, make: build };
  }

  #actions(tenant) {
    const { username, suspended, account } = tenant;
    const own = tenant.namespaces.filter((namespace) => isOwn(tenant, namespace));
    const manager = managerOf(tenant);
    const path = pathOf(username);
    const verb = (name, text, title, more) => act(name, text, () => this.#acts.submit({ title, method: "POST", path: `${path}/${name}`, ...more }), more?.isDanger && "danger");
    const build = () => make("div", { class: "acts" },
      suspended && verb("resume", "Resume…", `Give ${username} back what the suspension took?`),
      !suspended && verb("suspend", "Suspend…", `Take the rights and logins of ${username} away until it is resumed?`, { yes: "Suspend", isDanger: true }),
      !suspended && verb("suspend", "Suspend and pause databases…", `Suspend ${username}, and pause its databases?`, { yes: "Suspend", isDanger: true, query: { pause_databases: true } }),
      account && verb("password", "New password…", `Give ${username} a new password?`),
      own.length > 0 && act("manager", "Hand over…", () => this.#acts.handOver(username, manager, path)),
      own.length > 0 && act("away", "Take the tenant away…", () => this.#acts.offboardAll(username, own, path), "danger"));
    return { key: "actions", of: [username, suspended, Boolean(account), manager, own], make: build };
  }

  #namespace(tenant, namespace) {
    const { name, differences } = namespace;
    const title = `namespace-${name}`;
    const build = () => make("section", { class: "namespace", "aria-labelledby": title },
      make("div", { class: "row" }, make("h3", { id: title }, `Namespace ${name}`), stateTag(namespaceState(tenant, namespace))),
      factList(wantedFacts(namespace)),
      !tenant.suspended && differenceNote(differences, "It is as it is wanted.", "Not as it is wanted"),
      tenant.suspended && differences.length > 0 && differenceNote(differences, "", "Not as a suspended one is wanted"),
      this.#namespaceActions(tenant, namespace));
    return { key: title, of: [tenant.suspended, namespace], make: build };
  }

  #namespaceActions(tenant, namespace) {
    const { username, suspended } = tenant;
    const { name, differences, wanted } = namespace;
    const path = pathOf(username, name);
    const repair = () => this.#acts.submit({ title: `Repair namespace ${name}?`, yes: "Repair", method: "POST", path: `${path}/repair` });
    return make("div", { class: "acts" },
      !suspended && wanted && differences.length > 0 && act(`repair ${name}`, "Repair…", repair, "primary"),
      !suspended && act(`change ${name}`, "Change…", () => this.#acts.change(username, namespace)),
      isOwn(tenant, namespace) && act(`away ${name}`, "Take away…", () => this.#acts.offboard(username, namespace, path), "danger"));
  }
}

function act(name, text, does, look) {
  return make("button", { type: "button", class: look, "data-name": `${name} ${text}`, onclick: does }, text);
}

/** A namespace of the tenant's last job may be gone, or be another's by now. */
const isOwn = ({ username }, { exists, owner }) => exists && owner === username;

const managerOf = ({ namespaces }) => namespaces.find(({ wanted }) => wanted)?.wanted.managed_by;

function namespaceState({ suspended }, { exists, terminating, differences }) {
  if (!exists) return ["failed", "gone"];
  if (terminating) return ["waiting", "goes"];
  if (suspended) return ["suspended", "suspended"];
  return differences.length ? ["waiting", "differs"] : ["succeeded", "as wanted"];
}

function facts(tenant) {
  const { username, account, last_job: last } = tenant;
  const entries = [
    ["Account", !account ? "none" : account.enabled === false ? "disabled" : "enabled"],
    ["Managed by", managerOf(tenant)],
    ["Last job", last && make("a", { href: jobAddress(last.job_id) }, last.status)],
  ];
  return { key: "facts", of: [username, account, last, tenant.namespaces], make: () => factList(entries) };
}

function wantedFacts({ wanted, generation, operators, quota }) {
  const installed = operators.filter((operator) => operator.installed).map(({ name, version }) => (version ? `${name} ${version}` : name));
  const used = Object.entries(quota?.hard ?? {}).map(([name, most]) => `${name} ${quota.used[name] ?? 0} of ${most}`);
  return [
    ["Role", wanted?.role],
    ["Members", wanted?.subjects?.join(", ")],
    ["Operators", installed.join(", ") || "none"],
    ["Generation", generation && `${generation}`],
    ["Was there before", wanted?.adopted && "yes, it was adopted"],
    ["Used", used.length > 0 && make("ul", { class: "bare" }, used.map((text) => make("li", {}, text)))],
  ];
}

/** Of the tenant as a whole; a namespace tells its own. */
function differing({ differences }) {
  const own = differences.filter(({ namespace }) => !namespace);
  return own.length > 0 && { key: "differences", of: own, make: () => differenceNote(own, "", "Not as it is wanted") };
}
