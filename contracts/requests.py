"""The requests: what a caller may ask for, the rules it must keep, and one way to read it from JSON.

The models are plain dataclasses, so that a handler starts without pydantic; pydantic reads the same
annotations where JSON Schemas and OpenAPI are made (`contracts.schemas`).
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Self

import orjson

MAX_BODY_BYTES = 64 * 1024

# Everest's rule for account names (pkg/accounts/cli/utils.go), bounded so that a label value holds it.
USERNAME_PATTERN = r"^[A-Za-z0-9_]{3,63}$"
# RFC 1035, and at most 53 characters: Everest names the Helm release after the namespace.
NAMESPACE_PATTERN = r"^[a-z]([-a-z0-9]{0,51}[a-z0-9])?$"
RESERVED_NAMESPACES = ("everest-system", "everest-monitoring", "everest-olm", "default")

# The bounds keep every value a legal Kubernetes quantity; nobody's cluster is larger.
CPU_CORES_BOUNDS = (0.1, 100_000)
RAM_MB_BOUNDS = (64, 1_000_000_000)
DISK_GB_BOUNDS = (1, 10_000_000)

OPERATOR_NAMES = ("mongodb", "postgresql", "xtradb_cluster")

# A field name that is repeated to the caller; anything else could be a value that slipped.
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)
_MOST_UNKNOWN = 10
# What the schema promises of numbers given as strings; the reader takes other spellings of them too.
_CPU_CORES_TEXT = r"^(0\.[1-9][0-9]{0,2}|[1-9][0-9]{0,4}(\.[0-9]{1,3})?)$"
_RAM_MB_TEXT = r"^(6[4-9]|[7-9][0-9]|[1-9][0-9]{2,8})$"
_DISK_GB_TEXT = r"^[1-9][0-9]{0,6}$"
_NUMBER_TEXT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class SchemaHint:
    """Members of the JSON Schema of an annotated type; None takes one out. Absence is never written as null."""

    members: Mapping[str, Any]

    def __get_pydantic_json_schema__(
        self, core_schema: Any, handler: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        schema = handler(core_schema)
        if "anyOf" in schema:
            (only,) = (part for part in schema.pop("anyOf") if part != {"type": "null"})
            schema |= only
        schema |= self.members
        return {name: value for name, value in schema.items() if value is not None}


def _hint(**members: Any) -> SchemaHint:
    return SchemaHint(members)


def _number_hint(bounds: tuple[float, float], kind: str, text_pattern: str, description: str) -> SchemaHint:
    """A number, or the same as a string: both are accepted."""
    low, high = bounds
    number: dict[str, Any] = {"type": kind, "minimum": low, "maximum": high}
    if kind == "number":
        number["multipleOf"] = 0.001
    text = {"type": "string", "pattern": text_pattern}
    return SchemaHint({"type": None, "anyOf": [number, text], "description": description})


@dataclass(frozen=True, slots=True)
class Problem:
    """One field that breaks a rule. The message never repeats the value."""

    field: str
    message: str


class NotJson(ValueError):
    """The body is not JSON."""


class InvalidRequest(ValueError):
    """The body is JSON, and not a valid request."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Operators:
    """Which database operators the namespace gets."""

    mongodb: bool = False
    postgresql: bool = False
    xtradb_cluster: bool = False

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset(name for name in OPERATOR_NAMES if getattr(self, name))

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        return cls(**dict.fromkeys(names, True))


@dataclass(frozen=True, slots=True)
class Resources:
    """What the namespace may use in all."""

    cpu_cores: Annotated[
        float, _number_hint(CPU_CORES_BOUNDS, "number", _CPU_CORES_TEXT, "CPU cores, to a thousandth.")
    ] = 2
    ram_mb: Annotated[int, _number_hint(RAM_MB_BOUNDS, "integer", _RAM_MB_TEXT, "Memory in MiB.")] = 2048
    disk_gb: Annotated[int, _number_hint(DISK_GB_BOUNDS, "integer", _DISK_GB_TEXT, "Storage in GiB.")] = 20


@dataclass(frozen=True, slots=True)
class BootstrapRequest:
    """Make a tenant: an Everest account, its namespace, its quota, its role."""

    username: Annotated[
        str,
        _hint(
            pattern=USERNAME_PATTERN,
            description="The Everest account: letters, digits and underscores; not admin.",
            examples=["alice"],
            **{"not": {"const": "admin"}},
        ),
    ]
    namespace: Annotated[
        str,
        _hint(
            pattern=NAMESPACE_PATTERN,
            description="RFC 1035, at most 53 characters, not reserved. Defaults to the username, where that is legal.",
            **{"not": {"anyOf": [{"enum": list(RESERVED_NAMESPACES)}, {"pattern": "^kube-"}]}},
        ),
    ] = ""
    operators: Annotated[
        Operators | None,
        _hint(description="Absent: the handlers' EVEREST_DEFAULT_OPERATORS, else none."),
    ] = None
    take_ownership: Annotated[bool, _hint(description="Adopt a namespace that exists and is nobody's here.")] = False
    resources: Resources = field(default_factory=Resources)

    @property
    def tenant(self) -> str:
        """Jobs of one tenant never run side by side."""
        return self.username

    def with_operators(self, default: frozenset[str]) -> "BootstrapRequest":
        """The effective request: `default` is used only where the caller named no operators."""
        if self.operators is not None:
            return self
        return BootstrapRequest(
            self.username, self.namespace, Operators.of(default), self.take_ownership, self.resources
        )


@dataclass(frozen=True, slots=True)
class AccountsListQuery:
    """List the Everest accounts."""


@dataclass(frozen=True, slots=True)
class NamespacesListQuery:
    """List the namespaces that Everest knows."""


@dataclass(frozen=True, slots=True)
class TenantQuery:
    """What the cluster holds for one tenant. `namespace` and `last` come from the tenant's last finished job."""

    username: Annotated[str, _hint(pattern=USERNAME_PATTERN)]
    namespace: str = ""
    last: dict[str, Any] | None = None


Request = BootstrapRequest | AccountsListQuery | NamespacesListQuery | TenantQuery


def read_request(kind: str, body: bytes) -> Request:
    """The request in a body.

    Raises NotJson, or InvalidRequest with every problem that was found. KeyError for an unknown kind.
    """
    read = _READERS[kind]
    value = _parse(body)
    if not isinstance(value, dict):
        raise InvalidRequest([Problem("", "must be a JSON object")])
    reader = _Reader(value)
    request = read(reader)
    reader.refuse_unknown()
    if reader.problems:
        raise InvalidRequest(reader.problems)
    return request


def _parse(body: bytes) -> Any:
    """The value in a body. Raises NotJson.

    A number that no double holds is a field's fault and is named with the field, so it is read, as infinity.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            value = json.loads(body.decode(), parse_constant=_refuse_constant)
            orjson.dumps(value)  # what cannot be passed on, such as half a surrogate pair, was no JSON
        except (ValueError, RecursionError, orjson.JSONEncodeError):
            raise NotJson(f"line {error.lineno} column {error.colno}") from None
        return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def request_hash(kind: str, request: Request) -> str:
    """Equal for equal requests: defaults filled, numbers coerced. Two kinds never share a hash."""
    return hashlib.sha256(kind.encode() + b"\n" + encode_request(request, orjson.OPT_SORT_KEYS)).hexdigest()


def encode_request(request: Request, option: int = 0) -> bytes:
    """The message body of a request: absence, of `operators` or of a tenant's namespace, stays absence."""
    value = {part.name: getattr(request, part.name) for part in fields(request)}
    return orjson.dumps({name: part for name, part in value.items() if part not in (None, "")}, option=option)


class _Reader:
    """Takes the members of one JSON object, collecting what is wrong with them."""

    def __init__(self, value: Mapping[str, Any], path: str = "", problems: list[Problem] | None = None) -> None:
        self._value = value
        self._path = path
        self._known: set[str] = set()
        self._nested: list[_Reader] = []
        self.problems: list[Problem] = [] if problems is None else problems

    def refuse(self, name: str, message: str) -> None:
        self.problems.append(Problem(self._path + name, message))

    def has(self, name: str) -> bool:
        self._known.add(name)
        return name in self._value

    def text(self, name: str, pattern: str, rule: str, *, required: bool = False) -> str:
        if not self.has(name):
            if required:
                self.refuse(name, "is required")
            return ""
        value = self._value[name]
        if not isinstance(value, str):
            self.refuse(name, "must be a string")
        elif not re.fullmatch(pattern, value, re.ASCII) or value.endswith("\n"):
            self.refuse(name, rule)
        else:
            return value
        return ""

    def flag(self, name: str) -> bool:
        value = self._value[name] if self.has(name) else False
        if not isinstance(value, bool):
            self.refuse(name, "must be true or false")
            return False
        return value

    def number(self, name: str, default: float, bounds: tuple[float, float], *, whole: bool) -> float:
        if not self.has(name):
            return default
        value = _to_number(self._value[name])
        low, high = bounds
        if value is None:
            self.refuse(name, "must be a number, or a string of digits")
        elif whole and value != int(value):
            self.refuse(name, "must be a whole number")
        elif not low <= value <= high:
            self.refuse(name, f"must be between {low} and {high}")
        elif not math.isclose(value * 1000, round(value * 1000), rel_tol=0, abs_tol=1e-6):
            self.refuse(name, "must have at most three decimals")
        else:
            return int(value) if value == int(value) else round(value, 3)
        return default

    def part(self, name: str) -> "_Reader | None":
        if not self.has(name):
            return None
        value = self._value[name]
        if not isinstance(value, dict):
            self.refuse(name, "must be a JSON object")
            return None
        nested = _Reader(value, f"{self._path}{name}.", self.problems)
        self._nested.append(nested)
        return nested

    def any_object(self, name: str) -> dict[str, Any] | None:
        if not self.has(name):
            return None
        value = self._value[name]
        if not isinstance(value, dict):
            self.refuse(name, "must be a JSON object")
            return None
        return value

    def refuse_unknown(self) -> None:
        for nested in self._nested:
            nested.refuse_unknown()
        known = ", ".join(sorted(self._known)) or "none"
        for name in [name for name in self._value if name not in self._known][:_MOST_UNKNOWN]:
            self.refuse(name if _FIELD_NAME.fullmatch(name) else "", f"is no field of the request (known: {known})")


def _to_number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    if isinstance(value, str) and _NUMBER_TEXT.fullmatch(value):
        return float(value)
    return None


_USERNAME_RULE = "must be 3 to 63 letters, digits or underscores"
_NAMESPACE_RULE = (
    "must be at most 53 lowercase letters, digits or '-', start with a letter and end with a letter or digit"
)


def _read_username(reader: _Reader) -> str:
    username = reader.text("username", USERNAME_PATTERN, _USERNAME_RULE, required=True)
    if username == "admin":
        reader.refuse("username", "admin is Everest's own account")
    return username


def _read_namespace(reader: _Reader, username: str) -> str:
    if not reader.has("namespace"):
        if username and not is_namespace(username):
            reader.refuse("namespace", f"give one: it defaults to the username, and a namespace {_NAMESPACE_RULE}")
        elif is_reserved(username):
            reader.refuse("namespace", "give one: it defaults to the username, and that name is reserved")
        return username
    namespace = reader.text("namespace", NAMESPACE_PATTERN, _NAMESPACE_RULE)
    if is_reserved(namespace):
        reader.refuse("namespace", "is reserved for Everest or Kubernetes")
    return namespace


def is_namespace(name: str) -> bool:
    return re.fullmatch(NAMESPACE_PATTERN, name, re.ASCII) is not None and not name.endswith("\n")


def is_reserved(namespace: str) -> bool:
    return namespace in RESERVED_NAMESPACES or namespace.startswith("kube-")


def _read_operators(reader: _Reader) -> Operators | None:
    part = reader.part("operators")
    return None if part is None else Operators(*(part.flag(name) for name in OPERATOR_NAMES))


def _read_resources(reader: _Reader) -> Resources:
    part = reader.part("resources")
    if part is None:
        return Resources()
    return Resources(
        cpu_cores=part.number("cpu_cores", 2, CPU_CORES_BOUNDS, whole=False),
        ram_mb=int(part.number("ram_mb", 2048, RAM_MB_BOUNDS, whole=True)),
        disk_gb=int(part.number("disk_gb", 20, DISK_GB_BOUNDS, whole=True)),
    )


def _read_bootstrap(reader: _Reader) -> BootstrapRequest:
    username = _read_username(reader)
    return BootstrapRequest(
        username=username,
        namespace=_read_namespace(reader, username),
        operators=_read_operators(reader),
        take_ownership=reader.flag("take_ownership"),
        resources=_read_resources(reader),
    )


def _read_tenant(reader: _Reader) -> TenantQuery:
    return TenantQuery(
        username=reader.text("username", USERNAME_PATTERN, _USERNAME_RULE, required=True),
        namespace=reader.text("namespace", NAMESPACE_PATTERN, _NAMESPACE_RULE) if reader.has("namespace") else "",
        last=reader.any_object("last"),
    )


_READERS: dict[str, Callable[[_Reader], Request]] = {
    "bootstrap": _read_bootstrap,
    "accounts-list": lambda _: AccountsListQuery(),
    "namespaces-list": lambda _: NamespacesListQuery(),
    "tenant": _read_tenant,
}
