"""The requests: what a caller may ask for, and the rules that it must keep.

Members that the caller gave stay known (`model_fields_set`): a message carries those and no others, so that a default
which changes, or a member of a later version, never changes what was asked.
"""

import hashlib
import json
import math
import re
import typing
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, TypeVar

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, core_schema

MAX_BODY_BYTES = 64 * 1024

# Everest's rule for account names (pkg/accounts/cli/utils.go), bounded so that a label value holds it. Names that YAML
# could read as something else (null, true, 123, 1e5) are held: Everest writes the Secret everest-accounts with yaml.v2
# 2.4.0, which quotes every text that it would resolve to anything but a text (encode.go, stringv), and reads it so.
USERNAME_PATTERN = r"^[A-Za-z0-9_]{3,63}$"
# A tenant that logs in by SSO has no account, so hyphens and dots may stand inside of its name.
TENANT_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{1,61}[A-Za-z0-9_]$"
# RFC 1035, and at most 53 characters: Everest names the Helm release after the namespace.
NAMESPACE_PATTERN = r"^[a-z]([-a-z0-9]{0,51}[a-z0-9])?$"
RESERVED_NAMESPACES = ("everest-system", "everest-monitoring", "everest-olm", "default")

CALLER_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
ROLE_PATTERN = r"^[a-z][a-z0-9_-]{0,62}$"
MOST_SUBJECTS = 50
MOST_GENERATIONS = 2**53  # more than a double holds exactly

OPERATOR_NAMES = ("mongodb", "postgresql", "xtradb_cluster")

# A field name that is repeated to the caller; anything else could be a value that slipped.
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)
_MOST_UNKNOWN = 10
_USERNAME_WORDING = "must be 3 to 63 letters, digits or underscores"
_UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # control characters, half characters, and separators of lines
_NUMBER_TEXT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?", re.ASCII)

AnyRequest = TypeVar("AnyRequest", bound="Request")


class Request(BaseModel):
    """Frozen, strict and closed: no member is coerced but where it says so, an unknown one is refused.

    `first` are the members of version 0.1.0, with what its hash filled in where they were left out.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    first: ClassVar[Mapping[str, Any]] = {}

    @property
    def given(self) -> dict[str, Any]:
        """The members that the caller gave: what is published."""
        return self.model_dump(exclude_unset=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_null(cls, members: Any) -> Any:
        """Null for an optional member is absence: some clients cannot leave one out."""
        if not isinstance(members, dict) or None not in members.values():
            return members
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {name: value for name, value in members.items() if value is not None or name not in optional}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Without null, which is taken and never asked for: generators make better types of what is left."""
        schema = handler(core)
        for member in handler.resolve_ref_schema(schema).get("properties", {}).values():
            for part in member.pop("anyOf", ()):
                member.update(part if part != {"type": "null"} else {})
            if member.get("default", "") is None:
                del member["default"]
        return schema


@dataclass(frozen=True, slots=True)
class Amount:
    """A number between two bounds, given as a number or as a string of digits, and documented as a number."""

    low: float
    high: float
    whole: bool = True

    def read(self, value: object) -> float:
        """Raises ValueError with the rule that the value breaks."""
        number = _to_number(value)
        if number is None:
            raise ValueError("must be a number, or a string of digits")
        if self.whole and number != int(number):
            raise ValueError("must be a whole number")
        if not self.low <= number <= self.high:
            raise ValueError(f"must be between {self.low} and {self.high}")
        rounded = round(number, 3)
        if not math.isclose(number, rounded, rel_tol=0, abs_tol=1e-9):
            raise ValueError("must have at most three decimals")
        return int(rounded) if rounded == int(rounded) else rounded

    def __get_pydantic_core_schema__(self, source: Any, handler: object) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> dict[str, Any]:
        return {"type": "integer" if self.whole else "number", "minimum": self.low, "maximum": self.high}


def _to_number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    if isinstance(value, str) and _NUMBER_TEXT.fullmatch(value):
        return float(value)
    return None


def _check_username(username: str) -> str:
    if username == "admin":
        raise ValueError("admin is Everest's own account")
    if ".." in username:
        raise ValueError("must not hold two dots in a row")
    return username


def _check_subject(subject: str) -> str:
    """Everest takes a user and a group of one name for one subject, and a group named like a role for that role."""
    if subject != subject.strip() or any(unicodedata.category(letter) in _UNSEEN for letter in subject):
        raise ValueError("must not hold control characters, nor blanks at its ends")
    if subject == "admin" or subject.startswith("role:"):
        raise ValueError("must not be admin, nor begin with role:")
    return subject


def _check_subjects(subjects: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Each once; an account is always among them."""
    own = (info.data["username"],) if info.data.get("account") and "username" in info.data else ()
    if not own and not subjects:
        raise ValueError("is required where account is false: nobody would hold the role")
    return tuple(dict.fromkeys(own + subjects))


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable characters")
    return text


def _refuse_reserved(namespace: str) -> str:
    if namespace in RESERVED_NAMESPACES or namespace.startswith("kube-"):
        raise ValueError("is reserved for Everest or Kubernetes")
    return namespace


Username = Annotated[str, Field(pattern=TENANT_PATTERN, examples=["alice"]), AfterValidator(_check_username)]
Subject = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_check_subject)]
Subjects = Annotated[
    tuple[Subject, ...],
    Field(max_length=MOST_SUBJECTS, strict=False),  # JSON has lists, and this is frozen
    AfterValidator(_check_subjects),
]
Correlation = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_check_printable)]
Namespace = Annotated[str, Field(pattern=NAMESPACE_PATTERN), AfterValidator(_refuse_reserved)]
Generation = Annotated[int, Field(ge=0, le=MOST_GENERATIONS)]


class Operators(Request):
    """Which database operators the namespace gets."""

    mongodb: bool = False
    postgresql: bool = False
    xtradb_cluster: bool = False

    first = dict.fromkeys(OPERATOR_NAMES, False)

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset(name for name in OPERATOR_NAMES if getattr(self, name))

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        return cls(**dict.fromkeys(names, True))


class Resources(Request):
    """What the namespace may use in all. The bounds keep every value a legal Kubernetes quantity."""

    cpu_cores: Annotated[float, Amount(0.1, 100_000, whole=False)] = Field(
        default=2, description="CPU cores, to a thousandth."
    )
    ram_mb: Annotated[int, Amount(64, 1_000_000_000)] = Field(default=2048, description="Memory in MiB.")
    disk_gb: Annotated[int, Amount(1, 10_000_000)] = Field(default=20, description="Storage in GiB.")

    first: ClassVar[Mapping[str, Any]] = {"cpu_cores": 2, "ram_mb": 2048, "disk_gb": 20}


class BootstrapRequest(Request):
    """Make a tenant: an Everest account, its namespace, its quota, its role."""

    account: bool = Field(
        default=True, description="False: no account and no password; `subjects` log in by SSO and hold the role."
    )
    username: Username = Field(
        description="The tenant's name, and its Everest account's: 3 to 63 letters, digits and underscores, not "
        "`admin`. Without an account hyphens and dots may stand inside of it."
    )
    namespace: Namespace = Field(
        default_factory=lambda given: given["username"],
        validate_default=True,
        description="RFC 1035, at most 53 characters, not `default`, `kube-…` or Everest's own. "
        "Defaults to the username; give one where that is no legal namespace.",
    )
    operators: Operators | None = Field(
        default=None, description="Absent: the handlers' EVEREST_DEFAULT_OPERATORS, else none."
    )
    take_ownership: bool = Field(default=False, description="Adopt a namespace that exists and is nobody's here.")
    resources: Resources = Field(
        default=Resources(),
        description="A member that is left out: the handlers' EVEREST_DEFAULT_RESOURCES, else 2 / 2048 / 20.",
    )
    subjects: Subjects = Field(
        default_factory=lambda given: (given["username"],) if given["account"] else (),
        validate_default=True,
        description="Who holds the role: OIDC `sub` values and group names. With an account its name is always among "
        "them; without one they are required.",
    )
    role: str | None = Field(
        default=None,
        pattern=ROLE_PATTERN,
        description="What the subjects may do: `developer`, `owner`, `viewer`, or a role of the deployment's own. "
        "Absent: the handlers' EVEREST_DEFAULT_ROLE.",
    )
    correlation: Correlation | None = Field(
        default=None, description="The caller's own mark, told in documents and events."
    )
    if_generation: Generation | None = Field(
        default=None,
        description="Only where the namespace's claim is at this generation, 0: where it has none. Else the job fails "
        "with `generation_conflict` and nothing is done.",
    )

    @field_validator("username")
    @classmethod
    def _check_account(cls, username: str, info: ValidationInfo) -> str:
        if info.data.get("account", True) and not re.fullmatch(USERNAME_PATTERN, username):
            raise ValueError(_USERNAME_WORDING)
        return username

    first = {
        "username": None,
        "namespace": None,
        "operators": None,
        "take_ownership": False,
        "resources": None,
    }

    @property
    def lasting(self) -> dict[str, Any]:
        """What is wanted of the tenant from now on: without the members that are of one job."""
        return self.model_dump(exclude={"correlation", "if_generation"})

    def with_operators(self, default: frozenset[str]) -> Self:
        """The effective request: `default` is used only where the caller named no operators."""
        return self if self.operators is not None else self.model_copy(update={"operators": Operators.of(default)})

    def with_resources(self, default: Resources) -> Self:
        """The effective request: `default` is used, member by member, only where the caller gave none."""
        return self.model_copy(update={"resources": default.model_copy(update=self.resources.given)})

    def with_role(self, default: str) -> Self:
        """The effective request: `default` is used only where the caller named no role."""
        return self if self.role is not None else self.model_copy(update={"role": default})


class TenantRequest(Request):
    """About a tenant that this service has made."""

    username: Username

    first: ClassVar[Mapping[str, Any]] = {"username": None}


class OffboardRequest(TenantRequest):
    """Take a tenant away: its rights, its namespace, and with its last one its account."""

    namespace: Namespace | None = Field(default=None, description="Absent: all namespaces of the tenant, in one job.")
    delete_databases: bool = Field(
        default=False, description="With `confirm`: databases, backups and volumes go too, for good."
    )
    keep_namespace: bool = Field(
        default=False, description="Take Everest, claim, quota and limit range off the namespace; leave the rest."
    )
    delete_account: bool = Field(
        default=False, description="With `confirm`: the account goes also where no job of this service made it."
    )
    confirm: str | None = Field(
        default=None,
        max_length=63,
        description="The name of the namespace, or the username where no namespace is given. Any other is refused.",
    )

    @field_validator("keep_namespace")
    @classmethod
    def _check_kept(cls, kept: bool, info: ValidationInfo) -> bool:
        if kept and info.data.get("delete_databases"):
            raise ValueError("and delete_databases exclude each other")
        return kept

    @field_validator("confirm")
    @classmethod
    def _check_confirm(cls, confirm: str | None, info: ValidationInfo) -> str | None:
        if confirm is None or not {"namespace", "username"} <= info.data.keys():
            return confirm
        what = "namespace" if info.data["namespace"] else "username"
        if confirm != info.data[what]:
            raise ValueError(f"must be the {what} that is taken away")
        return confirm

    @property
    def is_confirmed(self) -> bool:
        return self.confirm is not None


class PasswordRequest(TenantRequest):
    """Give the tenant's account a new password."""


class SuspendRequest(TenantRequest):
    """Take a tenant's rights and logins away until it is resumed."""

    pause_databases: bool = Field(default=False, description="Pause those of its databases that run, too.")


class ResumeRequest(TenantRequest):
    """Give a suspended tenant back what was taken."""


class RepairRequest(TenantRequest):
    """Make the cluster what the tenant's spec says, where it differs."""

    namespace: Namespace | None = Field(default=None, description="Absent: all namespaces of the tenant.")


class HandoverRequest(TenantRequest):
    """Let another caller manage the tenant."""

    caller: str = Field(pattern=CALLER_PATTERN, description="The name of the key, or of the publisher.")


class AccountsListQuery(Request):
    """List the Everest accounts."""


class NamespacesListQuery(Request):
    """List the namespaces that Everest knows."""


class TenantQuery(Request):
    """What the cluster holds for one tenant. `namespace` and `last` come from the tenant's last finished job."""

    username: Username
    namespace: Namespace | None = None
    last: dict[str, Any] | None = None

    first = {"username": None, "namespace": None, "last": None}


class TenantsQuery(Request):
    """List the tenants by name, behind `after`. With `differs` only those whose cluster is not as they want it."""

    username: Username | None = None
    differs: bool = False
    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    first = {"username": None, "differs": False, "after": None, "limit": 50}


class PlanQuery(Request):
    """What a job would do. `kind` and `request` are the job's; plans of one `batch` share what they see."""

    kind: str
    request: dict[str, Any]
    batch: str | None = None

    first = {"kind": None, "request": None}


def encode_request(request: Request) -> bytes:
    """The message body of a request: the members that the caller gave."""
    return orjson.dumps(request.given)


def request_hash(kind: str, request: Request) -> str:
    """Equal for equal requests: defaults filled, numbers coerced. Two kinds never share a hash.

    By the rule of 0.1.0, which is frozen: what it wrote is compared with what is written today. A later member counts
    only where it differs from its default, so that a new one changes no hash; then the hash begins with `2:`.
    """
    members, has_later = _spell(request)
    # Sorted on the outside alone: members of a part keep the order of their model, as 0.1.0 had them.
    text = kind.encode() + b"\n" + orjson.dumps(members, option=orjson.OPT_SORT_KEYS)
    return ("2:" if has_later else "") + hashlib.sha256(text).hexdigest()


def raw_hash(body: bytes) -> str:
    """What stands for the hash of a body that no request could be made of, in a frozen form as well.

    An older handler refuses a member that it does not know: its record is that of this body, and of no other.
    """
    return f"raw:{hashlib.sha256(body).hexdigest()}"


def _spell(request: Request) -> tuple[dict[str, Any], bool]:
    """The members that count, as they are hashed, and whether a later one is among them."""
    members, has_later = {}, False
    for name in type(request).model_fields:
        value = getattr(request, name)
        if name not in request.first:
            if not _differs(request, name):
                continue
            has_later = True
        elif name not in request.model_fields_set and request.first[name] is not None:
            value = request.first[name]
        if isinstance(value, Request):
            part, part_has_later = _spell(value)
            members[name], has_later = orjson.Fragment(orjson.dumps(part)), has_later or part_has_later
        elif value is not None:
            members[name] = value
    return members, has_later


def _differs(request: Request, name: str) -> bool:
    """Whether a member has another value than its default."""
    if name not in request.model_fields_set:
        return False
    field = type(request).model_fields[name]
    return bool(getattr(request, name) != field.get_default(call_default_factory=True, validated_data=dict(request)))


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


def parse_request(model: type[AnyRequest], body: bytes) -> AnyRequest:
    """The request in a body. Raises NotJson, or InvalidRequest with every problem that was found."""
    return validate_request(model, parse_json(body))


def parse_members(body: bytes) -> dict[str, Any]:
    """The members of an object, of which a request is to be made. Raises NotJson, InvalidRequest."""
    members = parse_json(body)
    if not isinstance(members, dict):
        raise InvalidRequest([Problem(field="", message="must be a JSON object")])
    return members


def validate_request(model: type[AnyRequest], members: object) -> AnyRequest:
    """The request that the members make. Raises InvalidRequest with every problem that was found."""
    try:
        return model.model_validate(members)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
    names_namespace = isinstance(members, dict) and members.get("namespace") is not None
    raise InvalidRequest(_explain(model, names_namespace, problems))


def parse_json(body: bytes) -> Any:
    """The value in a body. Raises NotJson.

    A number that no double holds is a field's fault and is named with the field, so it is read, as infinity.
    """
    try:
        value = json.loads(body.decode(), object_pairs_hook=_members, parse_constant=_refuse, parse_int=_to_int)
        orjson.dumps(value)  # what cannot be passed on, such as half a surrogate pair, was no JSON
    except NotJson:
        raise
    except json.JSONDecodeError as error:
        raise NotJson(f"line {error.lineno} column {error.colno}") from None
    except (ValueError, TypeError, RecursionError):  # orjson's own are TypeErrors
        raise NotJson("it is not UTF-8, nested too deep, or holds a value that JSON does not have") from None
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises NotJson where a name stands twice: which of the two was meant?"""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotJson(f"a member stands twice{f': {twice}' if _FIELD_NAME.fullmatch(twice) else ''}")
    return members


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _to_int(digits: str) -> float:
    return int(digits) if len(digits) < 19 else float(digits)


# The wording that callers know, for the errors that pydantic finds by itself.
_WORDING = {
    "missing": "is required",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "tuple_type": "must be a list",
    "too_long": "must have at most {max_length} members",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    TENANT_PATTERN: _USERNAME_WORDING,
    ROLE_PATTERN: "must be 1 to 63 lowercase letters, digits, '-' or '_', and start with a letter",
    NAMESPACE_PATTERN: "must be at most 53 lowercase letters, digits or '-', start with a letter and end with a letter "
    "or digit",
}
_UNKNOWN = "extra_forbidden"


def _explain(model: type[Request], names_namespace: bool, errors: list[ErrorDetails]) -> Iterator[Problem]:
    unknown = [error for error in errors if error["type"] == _UNKNOWN]
    for error in errors:
        # What defaults to a member that is wrong has no problem of its own.
        if error["type"] == "default_factory_not_called" or error in unknown[_MOST_UNKNOWN:]:
            continue
        *parents, name = [str(part) for part in error["loc"]] or [""]
        message = _word(error)
        if error["type"] == _UNKNOWN:
            message = f"is no field of the request (known: {_known_members(model, parents)})"
            name = name if _FIELD_NAME.fullmatch(name) else ""
        elif name == "namespace" and not names_namespace:
            what = "a namespace" if message.startswith("must") else "that name"
            message = f"give one: it defaults to the username, and {what} {message}"
        yield Problem(".".join((*parents, name)), message)


def _word(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if "error" in context:  # one of our own
        return str(context["error"])
    return _WORDING.get(context.get("pattern", error["type"]), "is not valid").format(**context)


def _known_members(model: type[Request], path: list[str]) -> str:
    for name in path:
        hint = model.model_fields[name].annotation
        parts = (hint, *typing.get_args(hint))
        model = next(part for part in parts if isinstance(part, type) and issubclass(part, Request))
    return ", ".join(sorted(model.model_fields)) or "none"
