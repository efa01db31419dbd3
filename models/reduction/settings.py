"""What a reduction needs to know: the sample, the ranges, and how strongly to correct.

Q in 1/angstrom, r in angstrom, angles in degrees.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from solvus.models.pattern import PatternError
from solvus.models.scattering.form_factors import require_element

ELEMENT_AND_COUNT = re.compile(r"([A-Z][a-z]?)\s*(\d+\.?\d*|\.\d+)?\s*")


class ReductionError(PatternError):
    """A reduction that cannot be done; one sentence names the setting and the fix."""


class ReductionSettings(BaseModel):
    """Settings of one reduction.

    Attributes
    ----------
    composition : formula such as ``CeO2`` or ``Ce O2``, fractions allowed, no brackets.
    qmin, qmax : range of the transform; ``qmaxinst`` (default: ``qmax``) is the end of the range that the correction
        is fitted to. ``None`` takes the range of the data.
    rpoly : angstrom; the correction takes out what would stand in G(r) below about this distance.
    background_scale : factor on the background, or ``"fit"``.
    lorch : apply the Lorch window, which trades resolution for smaller termination ripples.
    tilt : tilt of the detector, in degrees, that the integration of the image did not take out; ``"auto"`` estimates
        it from the data, ``"header"`` tests the one in the file's header and takes it out when the data are smeared
        by it beyond doubt.
    rmin, rmax, rstep : grid of G(r), both ends included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    composition: str = Field(min_length=1, max_length=200)
    radiation: Literal["xray", "neutron"] = "xray"
    qmin: float | None = Field(default=None, ge=0.0, lt=50.0)
    qmax: float | None = Field(default=None, gt=0.0, le=100.0)
    qmaxinst: float | None = Field(default=None, gt=0.0, le=100.0)
    rpoly: float = Field(default=0.9, gt=0.0, le=5.0)
    background_scale: float | Literal["fit"] = 1.0
    lorch: bool = False
    tilt: float | Literal["auto", "header"] = "header"
    rmin: float = Field(default=0.0, ge=0.0)
    rmax: float = Field(default=30.0, gt=0.0, le=500.0)
    rstep: float = Field(default=0.01, gt=0.0, le=1.0)

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> Self:
        if self.qmin is not None and self.qmax is not None and self.qmin >= self.qmax:
            raise ValueError(f"qmin: {self.qmin:g} must be below qmax, {self.qmax:g}, both in 1/angstrom")
        if self.qmax is not None and self.qmaxinst is not None and self.qmaxinst < self.qmax:
            raise ValueError(f"qmaxinst: {self.qmaxinst:g} must not be below qmax, {self.qmax:g}")
        if self.rmin >= self.rmax:
            raise ValueError(f"rmin: {self.rmin:g} must be below rmax, {self.rmax:g}, both in angstrom")
        if isinstance(self.background_scale, float) and not 0.0 <= self.background_scale <= 100.0:
            raise ValueError(f"background_scale: {self.background_scale:g} is not between 0 and 100")
        if isinstance(self.tilt, float) and not 0.0 <= self.tilt <= 10.0:
            raise ValueError(f"tilt: {self.tilt:g} degrees is not between 0 and 10; re-integrate the image")
        parse_composition(self.composition)
        return self


def settings_of(**values: Any) -> ReductionSettings:
    """Settings from named values, with faults in one sentence.

    Raises
    ------
    ReductionError
    """
    try:
        return ReductionSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = str(first["loc"][0]) if first["loc"] else ""
        message = str(first["msg"]).removeprefix("Value error, ")
        raise ReductionError(f"{where + ': ' if where else ''}{message}") from error


def parse_composition(formula: str) -> dict[str, float]:
    """Atoms of each element in a formula, as fractions that sum to one.

    Raises
    ------
    ReductionError
        For anything but elements with numbers.
    """
    counts: dict[str, float] = {}
    text, at = formula.strip(), 0
    while at < len(text):
        found = ELEMENT_AND_COUNT.match(text, at)
        if found is None:
            raise ReductionError(
                f"composition: {formula!r} is no formula; write elements with numbers and no brackets, as in CeO2"
            )
        symbol = found.group(1)
        try:
            require_element(symbol)
        except ValueError as error:
            raise ReductionError(
                f"composition: {symbol!r} in {formula!r} is not a chemical element"
            ) from error
        counts[symbol] = counts.get(symbol, 0.0) + float(found.group(2) or 1.0)
        at = found.end()
    total = sum(counts.values())
    if total <= 0:
        raise ReductionError(f"composition: {formula!r} holds no atoms")
    return {symbol: count / total for symbol, count in counts.items()}
