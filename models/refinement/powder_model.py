"""A powder pattern I(2theta) as a model to refine: Rietveld's method.

    I(2theta) = scale sum_p x_p sum_h sum_l w_l strength_h LP(theta_hl) profile(2theta - 2theta_hl - shift) + background
    shift = zero + shift_cos cos 2theta_hl + shift_sin sin 2theta_hl

with the wavelengths l of the source and their weights, the Lorentz and polarisation factors LP of
:mod:`solvus.models.scattering.powder`, a pseudo-Voigt profile of unit area with FWHM^2 = u tan^2 theta + v tan theta
+ w (Caglioti, Paoletti and Ricci 1958), x_p the share of atoms in phase p, and a background of Chebyshev polynomials.
The shifts are those of a sample off the axis, across and along the beam; absorption in a capillary resembles the first.
Angles in degrees. H. M. Rietveld, J. Appl. Cryst. 2, 65 (1969).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.refinement.parameters import Parameter, RefinementError, Slopes
from solvus.models.refinement.phase import Phase
from solvus.models.refinement.powder_lines import Lines, PhaseLines
from solvus.models.scattering.form_factors import Radiation
from solvus.models.scattering.powder import lorentz_polarisation

Floats = NDArray[np.float64]

SOURCES: dict[str, tuple[tuple[float, float], ...]] = {
    "MoKa": ((0.709317, 1.0), (0.713607, 0.5)),
    "MoKa1": ((0.709317, 1.0),),
    "CuKa": ((1.540593, 1.0), (1.544427, 0.5)),
    "CuKa1": ((1.540593, 1.0),),
    "AgKa": ((0.559422, 1.0), (0.563813, 0.5)),
}
"""Wavelengths (angstrom) and weights of laboratory sources: Hoelzer et al., Phys. Rev. A 56, 4554 (1997) for Cu,
Deslattes et al., Rev. Mod. Phys. 75, 35 (2003) for Mo and Ag."""
TAILS = 25.0
"""Greatest widths after which all lines end: a Lorentzian has fallen to 4e-4 of its height."""
PROFILE = (
    Parameter("zero", 0.0, -0.5, 0.5, 0.02, "degree"),
    Parameter("shift_cos", 0.0, -0.5, 0.5, 0.02, "degree"),
    Parameter("shift_sin", 0.0, -0.5, 0.5, 0.02, "degree"),
    Parameter("caglioti_u", 0.0, -0.5, 5.0, 0.02, "degree^2"),
    Parameter("caglioti_v", 0.0, -5.0, 0.5, 0.02, "degree^2"),
    Parameter("caglioti_w", 0.02, 1e-5, 2.0, 0.01, "degree^2"),
    Parameter("eta", 0.5, 0.0, 1.0, 0.1),
)
NARROWEST = 1.0
"""Least FWHM in steps of the pattern: a line narrower than that falls between the points."""


@dataclass(frozen=True)
class PowderConditions:
    """The source as (wavelength, weight) pairs, the radiation, the polarisation ratio K and the number of background
    terms."""

    wavelengths: tuple[tuple[float, float], ...]
    radiation: Radiation = "xray"
    polarisation: float = 1.0
    background: int = 10


class PowderModel:
    """See the module.

    Parameters
    ----------
    angle : (k,) 2theta in degrees. phases : each with its label (empty for a single one).
    """

    def __init__(
        self, angle: Floats, phases: Sequence[tuple[str, Phase]], conditions: PowderConditions
    ) -> None:
        if float(angle[0]) <= 0.0 or float(angle[-1]) >= 180.0:
            raise RefinementError("range: 2theta must lie between 0 and 180 degrees")
        self.angle, self.phases, self.conditions = angle, list(phases), conditions
        self.step = float(np.median(np.diff(angle)))
        shortest = min(w for w, _ in conditions.wavelengths)
        qmax = 4.0 * math.pi / shortest * math.sin(math.radians(float(angle[-1])) / 2.0)
        self.lines = [PhaseLines(phase, qmax, conditions.radiation) for _, phase in phases]
        scaled = 2.0 * (angle - angle[0]) / (angle[-1] - angle[0]) - 1.0
        self.chebyshev = np.polynomial.chebyshev.chebvander(scaled, conditions.background - 1)
        self.parameters = tuple(self._parameters())

    def _parameters(self) -> list[Parameter]:
        made = [Parameter("scale", 1.0, 1e-12, 1e12, 0.1), *PROFILE]
        made += [Parameter(name, 0.0, -1e9, 1e9, 1.0) for name in self.background_names]
        for k, (label, phase) in enumerate(self.phases):
            end = f"@{label}" if label else ""
            for name, p in phase.parameters.items():
                made.append(Parameter(name + end, p.value, p.lower, p.upper, p.natural, p.unit))
            if k > 0:
                made.append(Parameter("fraction" + end, 1.0 / len(self.phases), 0.0, 1.0, 0.05))
        return made

    @property
    def background_names(self) -> list[str]:
        return [f"background_{k}" for k in range(self.conditions.background)]

    def curve(self, values: Mapping[str, float], wanted: Collection[str]) -> tuple[Floats, Slopes]:
        """I (k,) and its derivatives."""
        total = np.zeros_like(self.angle)
        slopes: Slopes = {}
        shares = [values[f"fraction@{label}"] for label, _ in self.phases[1:]]
        shares.insert(0, 1.0 - sum(shares))
        parts = []
        for (label, phase), lines, share in zip(self.phases, self.lines, shares, strict=True):
            end = f"@{label}" if label else ""
            local = {name: values[name + end] for name in phase.parameters}
            asked = [name for name in phase.parameters if name + end in wanted]
            pattern, by = self._pattern(lines.at(local, asked), values, wanted, asked)
            parts.append(pattern)
            total += share * pattern
            for name, row in by.items():
                full = name + end if name in phase.parameters else name
                slopes[full] = slopes.get(full, 0.0) + share * row
        for (label, _), part in zip(self.phases[1:], parts[1:], strict=True):
            if f"fraction@{label}" in wanted:
                slopes[f"fraction@{label}"] = part - parts[0]
        scale = values["scale"]
        slopes = {name: scale * row for name, row in slopes.items()}
        if "scale" in wanted:
            slopes["scale"] = total.copy()
        coefficients = np.array([values[name] for name in self.background_names])
        for k, name in enumerate(self.background_names):
            if name in wanted:
                slopes[name] = self.chebyshev[:, k]
        return scale * total + self.chebyshev @ coefficients, slopes

    def _pattern(
        self, lines: Lines, values: Mapping[str, float], wanted: Collection[str], asked: Sequence[str]
    ) -> tuple[Floats, Slopes]:
        """One phase at scale 1: every wavelength's lines."""
        total = np.zeros_like(self.angle)
        slopes: Slopes = {}
        norm = sum(weight for _, weight in self.conditions.wavelengths)
        for wavelength, weight in self.conditions.wavelengths:
            sine = lines.q * wavelength / (4.0 * math.pi)
            seen = sine < 1.0
            theta = np.arcsin(sine[seen])
            by_q = wavelength / (4.0 * math.pi * np.cos(theta))
            factor, by_theta = self._lorentz(theta)
            area = weight / norm * lines.strength[seen] * factor
            cosine, sine_two = np.cos(2.0 * theta), np.sin(2.0 * theta)
            shift = values["zero"] + values["shift_cos"] * cosine + values["shift_sin"] * sine_two
            centre = np.degrees(2.0 * theta) + shift
            turned = 2.0 * (values["shift_sin"] * cosine - values["shift_cos"] * sine_two)
            width, width_slopes = self._width(theta, values)
            moves: dict[str, tuple[Floats | None, Floats | None, Floats | None]] = {}
            for name in asked:
                change = weight / norm * lines.strength_slopes[name][seen] * factor
                if name not in lines.q_slopes:
                    moves[name] = (change, None, None)
                    continue
                turn = by_q * lines.q_slopes[name][seen]
                moves[name] = (
                    change + area * by_theta * turn,
                    np.degrees(2.0 * turn) + turned * turn,
                    width_slopes["theta"] * turn,
                )
            for name, row in (("zero", np.ones_like(area)), ("shift_cos", cosine), ("shift_sin", sine_two)):
                if name in wanted:
                    moves[name] = (None, row, None)
            for name in ("caglioti_u", "caglioti_v", "caglioti_w"):
                if name in wanted:
                    moves[name] = (None, None, width_slopes[name])
            rows = self._summed(area, centre, width, values["eta"], moves, "eta" in wanted)
            total += rows.pop("")
            for name, row in rows.items():
                slopes[name] = slopes.get(name, 0.0) + row
        return total, slopes

    def _lorentz(self, theta: Floats) -> tuple[Floats, Floats]:
        """L P and its relative derivative by theta."""
        k = self.conditions.polarisation if self.conditions.radiation != "neutron" else None
        value = lorentz_polarisation(theta, k)
        relative = -2.0 / np.tan(theta) + np.tan(theta)
        if k is not None:
            cosine, sine = np.cos(2.0 * theta), np.sin(2.0 * theta)
            relative = relative - 4.0 * k * cosine * sine / (1.0 + k * cosine**2)
        return value, relative

    def _width(self, theta: Floats, values: Mapping[str, float]) -> tuple[Floats, Slopes]:
        """FWHM of each line, and its derivatives."""
        t = np.tan(theta)
        u, v, w = (values[f"caglioti_{letter}"] for letter in "uvw")
        square = u * t**2 + v * t + w
        least = (NARROWEST * self.step) ** 2
        open_ = square > least
        width = np.sqrt(np.where(open_, square, least))
        half = np.where(open_, 0.5 / width, 0.0)
        return width, {
            "caglioti_u": half * t**2,
            "caglioti_v": half * t,
            "caglioti_w": half,
            "theta": half * (2.0 * u * t + v) * (1.0 + t**2),
        }

    def _summed(
        self,
        area: Floats,
        centre: Floats,
        width: Floats,
        eta: float,
        moves: Mapping[str, tuple[Floats | None, Floats | None, Floats | None]],
        mixing: bool,
    ) -> dict[str, Floats]:
        """Sum of all lines under the empty name, and the derivatives: by area, centre and width of each line."""
        points = len(self.angle)
        half = int(TAILS * float(width.max(initial=self.step)) / self.step) + 1
        base = np.searchsorted(self.angle, centre)
        near = (base > -half) & (base < points + half)
        base, area, centre, width = base[near], area[near], centre[near], width[near]
        place = base[:, None] + np.arange(-half, half + 1)
        inside = (place >= 0) & (place < points)
        place = np.clip(place, 0, points - 1)
        t = 2.0 * (self.angle[place] - centre[:, None]) / width[:, None]
        # A smooth end at TAILS widths: the curve must not jump when a line moves past a point.
        s = t / (2.0 * TAILS)
        open_ = np.clip(1.0 - s**2, 0.0, 1.0) * inside
        end, end_slope = open_**2, -2.0 * open_ * s / TAILS
        gauss = np.exp(-math.log(2.0) * t**2) * (2.0 * math.sqrt(math.log(2.0) / math.pi) / width)[:, None]
        lorentz = (2.0 / (math.pi * width))[:, None] / (1.0 + t**2)
        bare = eta * lorentz + (1.0 - eta) * gauss
        peak = bare * end
        # d peak / dt, from which both other derivatives follow: t = 2 x / width.
        by_t = -2.0 * t * (eta * lorentz / (1.0 + t**2) + (1.0 - eta) * math.log(2.0) * gauss) * end
        by_t += bare * end_slope
        by_centre = by_t * (-2.0 / width)[:, None]
        by_width = -(peak + t * by_t) / width[:, None]
        flat = place.ravel()

        def total(rows: Floats) -> Floats:
            return np.bincount(flat, weights=rows.ravel(), minlength=points).astype(np.float64)

        result = {"": total(area[:, None] * peak)}
        for name, (by_area, centre_slope, width_slope) in moves.items():
            rows = np.zeros_like(peak)
            if by_area is not None:
                rows += by_area[near][:, None] * peak
            if centre_slope is not None:
                rows += (area * centre_slope[near])[:, None] * by_centre
            if width_slope is not None:
                rows += (area * width_slope[near])[:, None] * by_width
            result[name] = total(rows)
        if mixing:
            result["eta"] = total(area[:, None] * (lorentz - gauss) * end)
        return result
