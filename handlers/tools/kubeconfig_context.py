"""The current context of a kubeconfig: what it names, and whether programs without a person or a home can use it.

As kubectl reads it (client-go, tools/clientcmd); each fault comes with the one command that mends it.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

Mapping = dict[str, Any]

_EXEC_VERSIONS = ("client.authentication.k8s.io/v1beta1", "client.authentication.k8s.io/v1")
# Removed from kubectl and everestctl with client-go 1.26; their successors write another kind of user.
_MEND_PROVIDER = {
    "gcp": "gcloud container clusters get-credentials CLUSTER",
    "azure": "kubelogin convert-kubeconfig",
}
_FILES_OF_CLUSTER = ("certificate-authority",)
_FILES_OF_USER = ("client-certificate", "client-key", "tokenFile")
_FLATTEN = "Where it works, this prints one that carries them: kubectl config view --flatten --minify --raw"


class InvalidKubeconfig(ValueError):
    """It cannot be used; the message says why, `hint` how to mend it, where one command does."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Context(NamedTuple):
    """The current context, with its cluster and its user as the file has them."""

    name: str
    cluster_name: str
    cluster: Mapping
    user: Mapping


def read_context(text: str) -> Context:
    """Raises InvalidKubeconfig."""
    whole = _parse(text)
    name = whole.get("current-context")
    contexts = _read_named(whole, "contexts", "context")
    if not isinstance(name, str) or not name:
        raise InvalidKubeconfig("it names no current-context", _offer("kubectl config use-context", contexts))
    if name not in contexts:
        raise InvalidKubeconfig(f"it has no context {name}", _offer("kubectl config use-context", contexts))
    cluster_name, cluster = _follow(whole, name, contexts[name], "cluster", "clusters")
    user_name, user = _follow(whole, name, contexts[name], "user", "users")
    if not cluster.get("server"):
        hint = f"Name it: kubectl config set-cluster {cluster_name} --server=https://ADDRESS"
        raise InvalidKubeconfig(f"its cluster {cluster_name} has no server", hint)
    _check_user(user_name, user)
    return Context(name, cluster_name, cluster, user)


def check_files(context: Context, folder: Path) -> None:
    """Raises InvalidKubeconfig for a certificate, key or token that is another machine's. Paths are from `folder`."""
    for owner, names in ((context.cluster, _FILES_OF_CLUSTER), (context.user, _FILES_OF_USER)):
        for name in names:
            # A member with the contents goes before the one with the path.
            path = owner.get(name) if not owner.get(f"{name}-data") else None
            if isinstance(path, str) and path and not os.access(folder / path, os.R_OK):
                raise InvalidKubeconfig(f"its {name} is {path}, which cannot be read here", _FLATTEN)


def _parse(text: str) -> Mapping:
    import yaml  # only where a kubeconfig is read: it costs a start

    try:
        whole = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise InvalidKubeconfig(f"it is no YAML{place}") from None
    if whole is None:
        raise InvalidKubeconfig("it is empty")
    if not isinstance(whole, dict):
        raise InvalidKubeconfig("it is no mapping")
    return whole


def _read_named(whole: Mapping, plural: str, member: str) -> dict[str, Mapping]:
    """The entries of a list such as `contexts`, by name. Raises InvalidKubeconfig."""
    entries = whole.get(plural) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidKubeconfig(f"its {plural} are no list of mappings")
    # Of two with one name kubectl takes the first.
    return {str(entry.get("name")): _mapping(entry.get(member)) for entry in reversed(entries)}


def _mapping(value: Any) -> Mapping:
    return value if isinstance(value, dict) else {}


def _follow(whole: Mapping, context_name: str, context: Mapping, member: str, plural: str) -> tuple[str, Mapping]:
    """The cluster or user that the context names. Without one kubectl asks localhost, or for a name and a password."""
    known = _read_named(whole, plural, member)
    name = context.get(member)
    mend = f"kubectl config set-context {context_name} --{member}="
    if not name:
        raise InvalidKubeconfig(f"its context {context_name} names no {member}", _offer(mend, known))
    if str(name) not in known:
        raise InvalidKubeconfig(
            f"its context {context_name} names the {member} {name}, which it lacks", _offer(mend, known)
        )
    return str(name), known[str(name)]


def _offer(command: str, names: dict[str, Mapping]) -> str:
    """The command with one of the names in its place."""
    separator = "" if command.endswith("=") else " "
    if len(names) == 1:
        return f"Name it: {command}{separator}{next(iter(names))}"
    known = f" (it has {', '.join(sorted(names))})" if names else ""
    return f"Name one: {command}{separator}NAME{known}"


def _check_user(name: str, user: Mapping) -> None:
    provider = _mapping(user.get("auth-provider")).get("name")
    if mend := _MEND_PROVIDER.get(str(provider)):
        reason = f"its user {name} has the auth-provider {provider}, which kubectl and everestctl know no more"
        raise InvalidKubeconfig(reason, f"Make it anew: {mend}")
    plugin = user.get("exec")
    if isinstance(plugin, dict) and not user.get("token"):  # a token goes before the plugin
        _check_plugin(name, plugin)


def _check_plugin(name: str, plugin: Mapping) -> None:
    command = f"kubectl config set-credentials {name}"
    version, mode = plugin.get("apiVersion"), plugin.get("interactiveMode")
    if version not in _EXEC_VERSIONS:
        reason = (
            f"the exec plugin of its user {name} has apiVersion {version}, which kubectl and everestctl do not know"
        )
        raise InvalidKubeconfig(reason, f"Set it: {command} --exec-api-version={_EXEC_VERSIONS[0]}")
    if mode == "Always" or (mode is None and version == _EXEC_VERSIONS[1]):
        reason = (
            f"the exec plugin of its user {name} has interactiveMode {mode or 'unset'}, and nobody sits at a handler"
        )
        raise InvalidKubeconfig(reason, f"Set it: {command} --exec-interactive-mode=Never")
