"""What every request is: frozen, strict, closed, and aware of which members its caller gave.

Members that the caller gave stay known (`model_fields_set`): a message carries those and no others, so that a default
which changes, or a member of a later version, never changes what was asked.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic_core import core_schema

AnyRequest = TypeVar("AnyRequest", bound="Request")


class Request(BaseModel):
    """Frozen, strict and closed: no member is coerced but where it says so, an unknown one is refused.

    `first` are the members of version 0.1.0, with what its hash filled in where they were left out.
    """

    # Each is built when the first request of its kind comes: a start needs one or two of them.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

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
