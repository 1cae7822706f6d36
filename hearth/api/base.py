"""The base of every model of a manifest: names on the wire, strictness, and types that many fields share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    Strict,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

from hearth.api.rejection import rejected
from hearth.api.wording import quoted

GROUP: Final = "serving.hearth.dev"
API_VERSION: Final = "serving.hearth.dev/v1alpha1"

Item = TypeVar("Item")

Items = Annotated[tuple[Item, ...], Strict(strict=False)]
"""A list on the wire, a tuple in Python."""

ALPHA: Final[dict[str, JsonValue]] = {"x-hearth-alpha": True}
"""Marks (as `json_schema_extra`) a field that the first release of the API does not have and that may still change."""


class Model(BaseModel):
    """A frozen mapping of a manifest: camelCase on the wire, snake_case in Python, no unknown fields, no coercion."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        defer_build=True,  # a schema is built when it is used: importing the API stays cheap
        strict=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        """Treat a null field as absent, as the Kubernetes API server does (`scaling:` with nothing under it)."""
        if isinstance(data, dict) and None in data.values():
            return {key: value for key, value in data.items() if value is not None}
        return data

    def to_wire(self, *, defaults: bool = True) -> dict[str, Any]:
        """Return the mapping as a manifest has it; `defaults=False` leaves out what the defaults already say."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=not defaults)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise rejected("it is empty", "write a value or leave the field out")
    return value


Text = Annotated[
    str,
    AfterValidator(_not_blank),
    Field(min_length=1),
    WithJsonSchema({"type": "string", "minLength": 1, "pattern": r"\S"}),
]
"""A string with something in it."""


@dataclass(frozen=True, slots=True)
class AtMost:
    """Bounds a text, as in `Annotated[Text, AtMost(63)]`: a CRD's rules may look at bounded texts only."""

    characters: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "maxLength": self.characters}

    def _checked(self, value: str) -> str:
        if len(value) > self.characters:
            raise rejected(
                f"{quoted(value)} has {len(value)} characters and the limit is {self.characters}", "shorten it"
            )
        return value


LARGEST: Final = 2**31 - 1
Count = Annotated[int, Field(ge=0, le=LARGEST)]
"""A whole number that fits Kubernetes' int32, 0 or more."""

PositiveCount = Annotated[int, Field(ge=1, le=LARGEST)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
