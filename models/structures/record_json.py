"""Records as JSON documents, checked when they are read: the shipped catalogue and the user's own are kept so."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from solvus.models.structures.record import Family, Record

DECIMALS = 6
"""Of coordinates and cells: 1e-6 of a cell, far finer than any source gives."""
Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class RecordError(ValueError):
    """A document that is no record; the message names the field."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    family: Family
    type: str
    formula: str
    species: tuple[str, ...] = Field(min_length=1)
    positions: tuple[tuple[Number, Number, Number], ...]
    source: str
    occupancy: tuple[Share, ...] = ()
    hypothetical: bool = False
    space_group: Annotated[int, Field(ge=1, le=230)] | None = None
    setting: Literal[1, 2] = 1
    cell: tuple[Number, Number, Number, Number, Number, Number] | None = None
    u_iso: tuple[Number, ...] = ()

    @model_validator(mode="after")
    def _every_site_is_whole(self) -> _Document:
        for name in ("positions", "occupancy", "u_iso"):
            values = getattr(self, name)
            if len(values) != len(self.species) and (values or name == "positions"):
                raise ValueError(f"{name}: {len(values)} for {len(self.species)} species")
        return self


def to_document(record: Record) -> dict[str, Any]:
    """Plain JSON values; fields that are empty are left out."""
    positions = [[round(float(x), DECIMALS) + 0.0 for x in row] for row in record.positions]
    document: dict[str, Any] = {
        "name": record.name,
        "family": record.family,
        "type": record.type,
        "formula": record.formula,
        "species": list(record.species),
        "positions": positions,
        "source": record.source,
    }
    optional = {
        "occupancy": [round(float(x), DECIMALS) for x in record.occupancy],
        "hypothetical": record.hypothetical,
        "space_group": record.space_group,
        "cell": record.cell and [round(float(x), DECIMALS) for x in record.cell],
        "u_iso": [round(float(x), DECIMALS) for x in record.u_iso],
    }
    if record.setting != 1:
        optional["setting"] = record.setting
    return document | {key: value for key, value in optional.items() if value}


def from_document(document: object) -> Record:
    """The record of a document.

    Raises
    ------
    RecordError
        When a field is missing, unknown or of the wrong kind.
    """
    try:
        checked = _Document.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "record"
        raise RecordError(f"{where}: {first['msg']}") from error
    fields = {name: getattr(checked, name) for name in _Document.model_fields}
    return Record(**fields | {"positions": np.array(checked.positions, dtype=np.float64)})


def trusted(document: dict[str, Any]) -> Record:
    """The record of a document that this package wrote and whose hash it has checked."""
    lists = {key: tuple(value) for key, value in document.items() if isinstance(value, list)}
    return Record(**document | lists | {"positions": np.array(document["positions"], dtype=np.float64)})


def canonical(document: object) -> str:
    """One text for one content: sorted keys, no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
