"""What is calculated, and with which instrument: ranges, resolution and shape.

Q in 1/angstrom, r in angstrom. The width of the peak of a pair at distance d is

    sigma^2 = (u_i + u_j) (1 - delta1 / d - delta2 / d^2 + (qbroad d)^2)

after Jeong et al., Phys. Rev. B 67, 104301 (2003) and Proffen and Billinge, J. Appl. Cryst. 32, 572 (1999).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, get_args

import torch

from solvus.models.scattering.form_factors import Radiation

Number = float | torch.Tensor
MOST_Q = 500.0
"""1/angstrom: ten times what any instrument reaches; beyond, only a mistaken unit is meant and memory is spent."""
MOST_POINTS = 10_000_000
"""Of r: 80 MB for each curve."""


class SettingsError(ValueError):
    """A range or an instrument that cannot be."""


@dataclass(frozen=True)
class Settings:
    """One calculation. ``qmin``, ``qmax``, ``qdamp``, ``qbroad``, ``delta1``, ``delta2``, ``scale``,
    ``diameter``, ``u_iso`` and ``expansion`` may be (b,) tensors in the `exact` convention: one value for each of
    b curves.

    Attributes
    ----------
    rmin, rmax, rstep : the grid of G: the multiples of ``rstep`` with rmin <= r < rmax, angstrom.
    qmin, qmax : range of the transform, 1/angstrom; ``qmax=None`` leaves the transform out, so that G is the
        plain sum of Gaussians (crystals and real-space sums only).
    qdamp : damping of G by exp(-(qdamp r)^2 / 2), 1/angstrom.
    qbroad : broadening of the peaks with distance, 1/angstrom.
    delta1, delta2 : sharpening of near peaks by correlated motion, angstrom and angstrom^2.
    scale : factor on G.
    diameter : of a sphere cut from the crystal, angstrom; ``None`` for no shape.
    stepcut : G is zero beyond, angstrom; ``None`` for no cut.
    pair : two elements or ions: only their partial G. The partials add up to the whole.
    qstep : finer steps of Q than the srreal convention takes by itself, 1/angstrom; Debye sums only.
    extension : angstrom by which a crystal goes on beyond rmax, fading out, in the exact convention. Reflections
        nearer to Qmax than about pi / extension count in part: undamped, 12 gives a curve within 2e-4 to 1e-2 of
        max |G| of that of an endless crystal; the cost grows with the cube of rmax + extension.
    u_iso : takes the place of the structure's displacements, angstrom^2.
    expansion : factor on all lengths of the structure, as heat or alloying give it; a shape keeps its diameter.
    radiation : ``"xray"``, ``"neutron"`` or ``"electrons"`` (their number).
    lengths : neutron lengths (fm) that take the place of tabulated ones.
    """

    rmin: float = 0.0
    rmax: float = 30.0
    rstep: float = 0.01
    qmin: Number = 0.0
    qmax: Number | None = 25.0
    qdamp: Number = 0.0
    qbroad: Number = 0.0
    delta1: Number = 0.0
    delta2: Number = 0.0
    scale: Number = 1.0
    diameter: Number | None = None
    stepcut: float | None = None
    pair: tuple[str, str] | None = None
    qstep: float | None = None
    extension: float = 12.0
    u_iso: Number | None = None
    expansion: Number = 1.0
    radiation: Radiation = "xray"
    lengths: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, int | float | torch.Tensor):
                raise SettingsError(f"{name}: must be a number, not {value!r}")
            low, high = _ends(value)
            if not 0.0 <= low <= high < math.inf:
                raise SettingsError(f"{name}: must be a number that is not negative, not {value}")
        for name in ("expansion", "extension"):
            if _ends(getattr(self, name))[0] <= 0:
                raise SettingsError(f"{name}: must be positive, not {getattr(self, name)}")
        if self.rstep <= 0 or self.rmax <= self.rmin:
            raise SettingsError(f"rmax: need rmin < rmax and rstep > 0, not {self.rmin}, {self.rmax}")
        if self.qmax is not None and not _above(self.qmax, self.qmin):
            raise SettingsError(f"qmax: must lie above qmin, not {self.qmax} and {self.qmin}")
        if self.diameter is not None and _ends(self.diameter)[0] <= 0:
            raise SettingsError("diameter: must be positive, or left out")
        self._refuse_what_cannot_be_meant()

    def _refuse_what_cannot_be_meant(self) -> None:
        if self.qmax is not None and _ends(self.qmax)[1] > MOST_Q:
            raise SettingsError(f"qmax: at most {MOST_Q:g} 1/angstrom, not {self.qmax}")
        if self.rmax / self.rstep > MOST_POINTS:
            raise SettingsError(
                f"rmax: {self.rmax / self.rstep:.3g} points of r; at most {MOST_POINTS:g}, so take a longer rstep"
            )
        if self.radiation not in get_args(Radiation):
            raise SettingsError(f"radiation: {self.radiation!r} is none of {', '.join(get_args(Radiation))}")
        if any(not math.isfinite(length) for length in (self.lengths or {}).values()):
            raise SettingsError(f"lengths: must be finite, in femtometres, not {dict(self.lengths or {})}")

    @property
    def first(self) -> int:
        """Index of the first point of the grid."""
        return math.ceil(self.rmin / self.rstep)

    @property
    def last(self) -> int:
        """Index of the last point of the grid."""
        return math.ceil(self.rmax / self.rstep) - 1

    def r(self) -> torch.Tensor:
        """The grid of G, angstrom."""
        return _grid(self.first, self.last, self.rstep).clone()

    def batched(self) -> dict[str, torch.Tensor]:
        """The settings that are (b,) tensors."""
        values = self.__dict__.items()
        return {k: v for k, v in values if isinstance(v, torch.Tensor) and v.ndim == 1}

    def part(self, start: int, stop: int) -> Settings:
        """Some of the b."""
        parts: dict[str, Any] = {k: v[start:stop] for k, v in self.batched().items()}
        return replace(self, **parts)

    def bracket(self, d: torch.Tensor) -> torch.Tensor:
        """1 - delta1 / d - delta2 / d^2 + (qbroad d)^2, not limited; numbers or (b, 1, ...) tensors apply."""
        return 1.0 - self.delta1 / d - self.delta2 / d**2 + (self.qbroad * d) ** 2

    def envelope(self, r: torch.Tensor) -> torch.Tensor:
        """Scale, damping and shape at r, the grid of these settings: (k,), or (b, k) when a setting is (b,)."""
        scale, qdamp, diameter = self.scale, self.qdamp, self.diameter
        if not any(isinstance(v, torch.Tensor) for v in (scale, qdamp, diameter)):
            return _fixed_envelope(
                self.first, self.last, self.rstep, self.stepcut, scale, qdamp, diameter
            ).to(r)
        scale, qdamp = (_column(torch.as_tensor(v, dtype=r.dtype)) for v in (scale, qdamp))
        if diameter is not None:
            diameter = _column(torch.as_tensor(diameter, dtype=r.dtype))
        return _envelope(r, self.stepcut, scale, qdamp, diameter)


@lru_cache(maxsize=64)
def _grid(first: int, last: int, rstep: float) -> torch.Tensor:
    return torch.arange(first, last + 1, dtype=torch.float64) * rstep


@lru_cache(maxsize=64)
def _fixed_envelope(
    first: int,
    last: int,
    rstep: float,
    stepcut: float | None,
    scale: Number,
    qdamp: Number,
    diameter: Number | None,
) -> torch.Tensor:
    return _envelope(_grid(first, last, rstep), stepcut, scale, qdamp, diameter)


def _envelope(
    r: torch.Tensor, stepcut: float | None, scale: Number, qdamp: Number, diameter: Number | None
) -> torch.Tensor:
    result = scale * torch.exp(-0.5 * (qdamp * r) ** 2)
    if diameter is not None:
        x = r / diameter
        result = result * torch.where(x < 1.0, 1.0 - 1.5 * x + 0.5 * x**3, torch.zeros_like(x))
    return result if stepcut is None else result * (r <= stepcut)


def _column(value: torch.Tensor) -> torch.Tensor:
    return value[:, None] if value.ndim else value


_NUMBERS = tuple(f.name for f in fields(Settings) if f.name not in ("pair", "radiation", "lengths"))


def _ends(value: Number) -> tuple[float, float]:
    """Smallest and largest; NaN where any is."""
    if isinstance(value, torch.Tensor):
        low, high = torch.aminmax(value.detach())
        return float(low), float(high)
    return value, value


def _above(high: Number, low: Number) -> bool:
    if isinstance(high, torch.Tensor) or isinstance(low, torch.Tensor):
        return bool((torch.as_tensor(high) > torch.as_tensor(low)).all())
    return high > low
