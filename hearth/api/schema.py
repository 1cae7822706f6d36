"""JSON schemas of the models with names and defaults as on the wire; what CRDs and the reference are made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from hearth.api.durations import Duration
from hearth.api.quantities import Quantity


class _WireDefaults(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        """Durations and quantities are text on the wire; as dataclasses they would become mappings."""
        return str(dft) if isinstance(dft, Duration | Quantity) else super().encode_default(dft)


def wire_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of `model`. Parents that are filled when absent have no default of their own."""
    return model.model_json_schema(by_alias=True, schema_generator=_WireDefaults)
