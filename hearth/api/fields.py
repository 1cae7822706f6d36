"""The fields of the models as the wire knows them: what may stand where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hearth.api.wording import FieldPath


@dataclass(frozen=True, slots=True)
class Shape:
    """What a field holds: a model or something else, as such, in a list or in a mapping with free keys."""

    content: Any
    container: type[tuple[Any, ...]] | type[dict[Any, Any]] | None = None

    @property
    def model(self) -> type[BaseModel] | None:
        """The model, if it is one."""
        return self.content if isinstance(self.content, type) and issubclass(self.content, BaseModel) else None


@cache
def wire_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by their names on the wire."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def shape_of(field: FieldInfo) -> Shape:
    """Return what a field holds."""
    return _shape(field.annotation)


def _shape(annotation: Any) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _shape(arguments[0])
    if origin in (Union, UnionType):
        present = [argument for argument in arguments if argument is not NoneType]
        return _shape(present[0]) if len(present) == 1 else Shape(annotation)
    if origin is tuple:
        return Shape(_shape(arguments[0]).content, tuple)
    if origin is dict:
        return Shape(_shape(arguments[1]).content, dict)
    return Shape(annotation)


def model_at(model: type[BaseModel], path: FieldPath) -> type[BaseModel] | None:
    """Return the model that describes the mapping at `path` of an object of `model`."""
    here: type[BaseModel] | None = model
    for step in path:
        if isinstance(step, int):
            continue  # the shape of a list is that of its items
        if here is None or step not in wire_fields(here):
            return None
        here = shape_of(wire_fields(here)[step]).model
    return here


def choices_at(model: type[BaseModel], path: FieldPath) -> tuple[str, ...]:
    """Return the texts that the field at `path` may hold; () for a field that may hold others."""
    parent = model_at(model, path[:-1])
    field = wire_fields(parent).get(str(path[-1])) if parent else None
    content = shape_of(field).content if field else None
    return get_args(content) if get_origin(content) is Literal else ()


def places_of(model: type[BaseModel], name: str, prefix: FieldPath = ()) -> Iterator[FieldPath]:
    """Return the paths, without the indexes of lists, under which a field called `name` exists."""
    for wire, field in wire_fields(model).items():
        if wire == name:
            yield (*prefix, wire)
        nested = shape_of(field).model
        if nested:
            yield from places_of(nested, name, (*prefix, wire))
