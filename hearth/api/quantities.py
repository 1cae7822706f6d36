"""Kubernetes quantities (`500m`, `2`, `50Gi`, `1e3`): exact amounts with a suffix.

Grammar, rounding and the canonical form follow `k8s.io/apimachinery/pkg/api/resource`: nothing smaller than a nano
unit is kept, what is smaller is rounded away from zero, and the canonical form has no fraction and the largest
suffix that needs none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_UP, Context, Decimal, localcontext
from typing import Any, Final, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from hearth.api.errors import InvalidValue
from hearth.api.rejection import rejected
from hearth.api.wording import named, quoted

PATTERN: Final = r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]{1,3})?$"
"""The pattern of a quantity. That in Kubernetes' own schemas also takes exponents with fractions (`1e1.5`), which
its parser then refuses."""

SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "maxLength": 64,
    "pattern": PATTERN,
    "x-kubernetes-int-or-string": True,
}
"""The JSON schema of a quantity."""

Form = Literal["binary", "decimal", "exponent"]

_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}  # powers of 1024
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}  # powers of 10
_BINARY_SUFFIXES: Final = ("", *_BINARY)
_DECIMAL_SUFFIXES: Final = {power: suffix for suffix, power in _DECIMAL.items()}
_MAXIMUM: Final = 2**63 - 1
REMEDY: Final = "write a number with a Kubernetes suffix, such as 500m, 2 or 16Gi"
_PARTS: Final = re.compile(
    r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:(Ki|Mi|Gi|Ti|Pi|Ei)|([numkMGTPE]?)|[eE]([-+]?[0-9]{1,3}))"
)
_EXACT: Final = Context(prec=200, rounding=ROUND_UP)


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount. Two quantities are equal when their `value` is, whatever their suffix; `str()` is canonical."""

    value: Decimal
    form: Form = field(default="decimal", compare=False)

    @property
    def bytes(self) -> int:
        """The amount as a whole number, rounded up; bytes for memory and storage."""
        return int(self.value.to_integral_value(ROUND_CEILING))

    def __str__(self) -> str:
        return _canonical(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(SCHEMA)


def parse_quantity(text: str | int) -> Quantity:
    """Return the quantity that `text` says. Raises InvalidValue for anything else."""
    text = str(text)
    parts = _PARTS.fullmatch(text) if len(text) <= 64 else None
    if parts is None:
        raise InvalidValue(f"{quoted(text)} is not a quantity", REMEDY)
    number, binary, decimal, exponent = parts.groups()
    form: Form
    with localcontext(_EXACT):
        if binary:
            value, form = Decimal(number) * 1024 ** _BINARY[binary], "binary"
        elif exponent is not None:
            value, form = Decimal(number).scaleb(int(exponent)), "exponent"
        else:
            value, form = Decimal(number).scaleb(_DECIMAL[decimal]), "decimal"
        if abs(value) > _MAXIMUM:
            raise InvalidValue(f"{quoted(text)} is too large a quantity", f"write at most {_MAXIMUM}")
        # Kubernetes keeps nothing below a nano unit, and no fractions of a byte in a binary amount.
        step = Decimal(1) if binary and abs(value) >= 1024 else Decimal("1e-9")
        return Quantity(value.quantize(step).normalize(), form)


def _canonical(quantity: Quantity) -> str:
    value = quantity.value
    if not value:
        return "0"
    with localcontext(_EXACT):
        if quantity.form == "binary" and abs(value) >= 1024:
            number, power = int(value), 0
            while power < 6 and number % 1024 == 0:
                number, power = number // 1024, power + 1
            return f"{number}{_BINARY_SUFFIXES[power]}"
        power = 18
        while value % Decimal(10) ** power:
            power -= 3
        number = int(value / Decimal(10) ** power)
    if quantity.form == "exponent" and power:
        return f"{number}e{power}"
    return f"{number}{_DECIMAL_SUFFIXES[power]}"


def _validate(value: Any) -> Quantity:
    if isinstance(value, Quantity):
        return value
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        try:
            return parse_quantity(value)
        except InvalidValue as error:
            raise rejected(error.message, error.remedy) from None
    if isinstance(value, float):
        raise rejected(f"{value} is a number with a fraction", f'put it in quotes: "{value}"')
    raise rejected(f"{named(value)} is not a quantity", REMEDY)
