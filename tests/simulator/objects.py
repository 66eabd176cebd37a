"""What `kubectl get` is asked for, as a path of the API: tests look at objects and put them there without a process."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from tests.simulator.apiserver.resources import BY_KIND, RESOURCES, Resource

_EVERYWHERE = "*"


def _names_of(resource: Resource) -> set[str]:
    plain = {resource.plural, resource.kind.lower(), *resource.short_names}
    return plain | ({f"{resource.plural}.{resource.group}"} if resource.group else set())


_BY_NAME = {name: resource for resource in reversed(RESOURCES) for name in _names_of(resource)}


def path_of_words(words: Sequence[str]) -> str:
    """Of `ns alice`, `secret -n alice -l owner=helm`, `quota -A`. Raises KeyError, ValueError for what is not known."""
    namespace, selector, plain, left = "default", "", [], iter(words)
    for word in left:
        match word:
            case "-n":
                namespace = next(left)
            case "-l":
                selector = next(left)
            case "-A":
                namespace = _EVERYWHERE
            case _:
                plain.append(word)
    kind, name = plain if len(plain) == 2 else (*plain, "")
    path = path_of(_BY_NAME[kind], namespace, name)
    return f"{path}?{urlencode({'labelSelector': selector})}" if selector else path


def path_of_object(manifest: Mapping[str, Any], *, is_new: bool = False) -> str:
    resource, metadata = BY_KIND[manifest["apiVersion"], manifest["kind"]], manifest["metadata"]
    return path_of(resource, metadata.get("namespace", "default"), "" if is_new else metadata["name"])


def path_of(resource: Resource, namespace: str, name: str) -> str:
    """Of an object, or of all where there is no name; a kind that is in no namespace asks for none."""
    group = f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"
    where = f"namespaces/{namespace}/" if resource.is_namespaced and namespace != _EVERYWHERE else ""
    return f"/{group}/{where}{resource.plural}" + (f"/{name}" if name else "")
