"""What a namespace holds that would be lost with it: `everestctl namespaces remove` destroys most of it unasked."""

from dataclasses import dataclass

from contracts.codes import Failure
from handlers.results import StepFailed
from handlers.tools.kubectl import Kubectl, Object

DATABASES = "databaseclusters.everest.percona.com"
_BACKUPS = "databaseclusterbackups.everest.percona.com"
_CLAIMS = "persistentvolumeclaims"
# All of these groups that own pods: a ReplicaSet may be nobody's, or of another kind than a Deployment.
_WORKLOADS = (
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "jobs.batch",
    "cronjobs.batch",
    "pods",
)
_EVERYTHING = ",".join((DATABASES, _BACKUPS, _CLAIMS, *_WORKLOADS))

_DATA = ("DatabaseCluster", "DatabaseClusterBackup", "PersistentVolumeClaim")
# Whose owner is judged instead, or is a part of Everest: OLM's operators, and what those make.
_OWNERS = ("apps", "batch", "operators.coreos.com", "postgres-operator.crunchydata.com")
_OWNER = "percona.com"
_HOOKS = ("everest-operators-installer", "everest-helm-pre-delete-hook-")
_RELEASE = "meta.helm.sh/release-name"
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Contents:
    """`databases` by name; `all` of it as `kind/name`. Empty where nothing would be lost."""

    databases: tuple[str, ...]
    all: tuple[str, ...]

    @property
    def shown(self) -> str:
        more = f" and {len(self.all) - _MOST_NAMED} more" if len(self.all) > _MOST_NAMED else ""
        return ", ".join(self.all[:_MOST_NAMED]) + more


async def look_into(kubectl: Kubectl, namespace: str) -> Contents:
    """One look at all of it. Raises StepFailed."""
    found = await kubectl.list(_EVERYTHING, namespace)
    held = [value for value in found if _would_be_lost(value, namespace)]
    databases = (value["metadata"]["name"] for value in held if value["kind"] == "DatabaseCluster")
    return Contents(tuple(sorted(databases)), tuple(sorted(map(_name, held), key=_order)))


async def find_leaving(kubectl: Kubectl, namespace: str) -> list[Object]:
    """The databases that are deleted and still there. Raises StepFailed."""
    return [value for value in await kubectl.list(DATABASES, namespace) if "deletionTimestamp" in value["metadata"]]


def refuse_contents(namespace: str, contents: Contents, *, keeps: bool) -> None:
    """Raises StepFailed where something would be lost; what is kept loses nothing, and databases need their Everest."""
    if keeps and contents.databases:
        names = ", ".join(contents.databases)
        reason = f"Namespace {namespace} has databases, which cannot be without Everest: {names}."
        raise StepFailed(Failure("databases_left", reason, "Move them elsewhere first."))
    if not keeps and contents.all:
        raise StepFailed(Failure("databases_left", f"Namespace {namespace} holds {contents.shown}."))


def _would_be_lost(value: Object, namespace: str) -> bool:
    return value["kind"] in _DATA or not (_is_owned(value) or _is_of_release(value, namespace))


def _is_owned(value: Object) -> bool:
    """By a workload that is listed itself, or by Everest. A bare Pod is owned by nobody."""
    return any(map(_is_known, value["metadata"].get("ownerReferences") or ()))


def _is_known(owner: Object) -> bool:
    group = str(owner.get("apiVersion", "")).rpartition("/")[0]
    return group in _OWNERS or group == _OWNER or group.endswith(f".{_OWNER}")


def _is_of_release(value: Object, namespace: str) -> bool:
    """Everest's chart, which is released under the namespace's name; hook Jobs bear no mark of it."""
    metadata = value["metadata"]
    is_hook = value["kind"] == "Job" and str(metadata["name"]).startswith(_HOOKS)
    return is_hook or (metadata.get("annotations") or {}).get(_RELEASE) == namespace


def _name(value: Object) -> str:
    return f"{value['kind']}/{value['metadata']['name']}"


def _order(name: str) -> tuple[int, str]:
    """Databases first: they are what a person must know of."""
    kind = name.partition("/")[0]
    return (_DATA.index(kind) if kind in _DATA else len(_DATA)), name
