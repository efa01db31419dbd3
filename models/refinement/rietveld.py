"""Refine a powder pattern: the door beside :mod:`solvus.models.refinement.refine`.

The pattern holds I over Q; the fit runs over 2theta, with the wavelength that the pattern's Q was made with. A lattice
that is nearly right is found by a scan first: at each size the best scale and background, which are linear, are solved
for. Then shifts and widths are freed, and then the rest, because a line without overlap has no derivative towards its
peak. Absorption is left out: it makes displacements too small, and a u on its lower bound is its sign.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Pattern
from solvus.models.refinement.engine import Part, Problem, solve
from solvus.models.refinement.parameters import RefinementError
from solvus.models.refinement.phase import Phase
from solvus.models.refinement.powder_model import SOURCES, PowderConditions, PowderModel
from solvus.models.refinement.refine import GROUPS
from solvus.models.refinement.refinement import Refinement
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

WORDS: dict[str, tuple[str, ...]] = GROUPS | {
    "background": ("background_*",),
    "displacement": ("shift_cos", "shift_sin"),
    "profile": ("caglioti_u", "caglioti_v", "caglioti_w", "eta"),
}
USUAL = ("scale", "background", "lattice", "zero", "profile", "u")
LABORATORY = ("scale", "background", "lattice", "displacement", "profile", "u")
"""The usual ones with a laboratory source, whose capillary is seldom on the axis of the diffractometer."""
WINDOW = (5.0, 140.0)
"""Degrees of 2theta: above the direct beam."""
SCAN_STEP = 0.0005
"""Of the cell: lines at 40 degrees then move by half a hundredth of a degree per step and never past each other."""
CAPTURE = 0.01
LEAST_WEIGHT = 0.01
"""Share of the greatest intensity that counts as the least for the weights 1 / I: points near zero would rule all."""
NATURAL = 0.05
"""Natural step of scale and background over their values; ``TINY`` where that is none."""
TINY = 1e-6
FIRST_WIDTHS = (0.15, 0.5)
"""Degrees of FWHM tried in the scan: a good laboratory source, and nanocrystals."""


@dataclass(frozen=True)
class PowderOptions:
    """How to refine a powder pattern.

    Attributes
    ----------
    source : a name of ``SOURCES``, or ``None`` for the single wavelength of the pattern.
    free, start, most : as in :class:`solvus.models.refinement.refine.Options`; empty ``free`` takes the usual ones.
    window : range of 2theta, degrees.
    polarisation : K of the polarisation factor; 1 without a monochromator.
    background : Chebyshev polynomials.
    capture : share of the cell within which its size is looked for; 0 for none.
    """

    source: str | None = None
    free: tuple[str, ...] = ()
    start: Mapping[str, float] | None = None
    window: tuple[float, float] = WINDOW
    polarisation: float = 1.0
    background: int = 10
    capture: float = CAPTURE
    most: int = 60


def refine_powder(
    pattern: Pattern,
    structures: Record | Phase | Sequence[Record | Phase],
    options: PowderOptions | None = None,
) -> Refinement:
    """Refine crystals against I(Q).

    Raises
    ------
    RefinementError
        One sentence that names the field and the fix.
    """
    chosen = options or PowderOptions()
    given = [structures] if isinstance(structures, Record | Phase) else list(structures)
    if not given:
        raise RefinementError("refine: needs at least one structure")
    phases = [
        (str(k + 1) if len(given) > 1 else "", s if isinstance(s, Phase) else Phase.of(s))
        for k, s in enumerate(given)
    ]
    part, model = _part(pattern, phases, chosen)
    free = _names(chosen.free or (LABORATORY if chosen.source else USUAL), model)
    problem = Problem([part], free)
    values = {name: p.value for name, p in problem.parameters.items()} | dict(chosen.start or {})
    unknown = [name for name in chosen.start or {} if name not in problem.parameters]
    if unknown:
        raise RefinementError(f"start: {unknown[0]!r} is no parameter of this model")
    values = _scanned(model, problem, part, values, phases, chosen)
    for name in problem.parameters:
        p = problem.parameters[name].started(values[name])
        if name == "scale" or name.startswith("background"):
            p = replace(p, natural=max(NATURAL * abs(p.value), TINY))
        problem.parameters[name] = p
    linear = [n for n in free if n == "scale" or n.startswith("background")]
    easy = [
        n
        for n in free
        if n in {"zero", "shift_cos", "shift_sin", "caglioti_w"} or n.partition("@")[0] in {"a", "b", "c"}
    ]
    for stage in (linear + easy, free):
        if not stage:
            continue
        step = Problem([part], list(dict.fromkeys(stage)))
        step.parameters = problem.parameters
        found = solve(step, start=values, noise="independent", most=chosen.most)
        values = {name: v.value for name, v in found.values.items()}
        for name, p in problem.parameters.items():
            problem.parameters[name] = p.started(float(np.clip(values[name], p.lower, p.upper)))
    records = {}
    for label, phase in phases:
        end = f"@{label}" if label else ""
        records[label] = phase.refined({name: found[name + end] for name in phase.parameters})
    return replace(found, records=records)


def _part(
    pattern: Pattern, phases: Sequence[tuple[str, Phase]], options: PowderOptions
) -> tuple[Part, PowderModel]:
    if pattern.quantity != "I":
        raise RefinementError(f"pattern: holds {pattern.quantity}, but a powder pattern is I")
    wavelength = pattern.conditions.wavelength
    if wavelength is None:
        raise RefinementError("wavelength: the pattern does not say it; give it with the source")
    if options.source is not None and options.source not in SOURCES:
        raise RefinementError(f"source: {options.source!r} is none of {', '.join(SOURCES)}")
    wavelengths = SOURCES[options.source] if options.source else ((wavelength, 1.0),)
    sine = pattern.x * wavelength / (4.0 * math.pi)
    if float(sine[-1]) >= 1.0:
        raise RefinementError(f"wavelength: {wavelength:g} does not reach Q = {pattern.x[-1]:g} 1/angstrom")
    angle = np.degrees(2.0 * np.arcsin(sine))
    inside = (angle >= options.window[0]) & (angle <= options.window[1])
    if int(inside.sum()) < 2:
        raise RefinementError(
            f"range: no points between {options.window[0]:g} and {options.window[1]:g} degrees; the pattern "
            f"covers {angle[0]:.3g} to {angle[-1]:.4g}"
        )
    conditions = PowderConditions(
        wavelengths, pattern.conditions.radiation, options.polarisation, options.background
    )
    observed = np.asarray(pattern.y[inside])
    model = PowderModel(angle[inside], phases, conditions)
    stated = pattern.dy is not None and bool((pattern.dy[inside] > 0).all())
    least = LEAST_WEIGHT * float(np.abs(observed).max())
    dy = (
        np.asarray(pattern.dy[inside])
        if stated and pattern.dy is not None
        else np.sqrt(np.maximum(observed, least))
    )
    return Part("", angle[inside], observed, model, dy, None, relative=not stated), model


def _names(words: Sequence[str], model: PowderModel) -> list[str]:
    from fnmatch import fnmatchcase

    known = [p.name for p in model.parameters]
    names: list[str] = []
    for word in words:
        short, _, label = word.partition("@")
        masks = WORDS.get(short, (short,))
        found = [
            n
            for n in known
            if any(fnmatchcase(n.partition("@")[0], m) for m in masks)
            and (not label or n.endswith("@" + label))
        ]
        if not found:
            raise RefinementError(
                f"free: {word!r} is no parameter here; there are {', '.join([*WORDS, *known])}"
            )
        names += found
    return list(dict.fromkeys(names))


def _scanned(
    model: PowderModel,
    problem: Problem,
    part: Part,
    values: dict[str, float],
    phases: Sequence[tuple[str, Phase]],
    options: PowderOptions,
) -> dict[str, float]:
    """Values with the best size of all cells, and scale and background to it."""
    names = [
        n + (f"@{label}" if label else "")
        for label, phase in phases
        for n in phase.cell_names
        if n in {"a", "b", "c"}
    ]
    names = [n for n in names if n in problem.free]
    weight = problem.weights[0]
    observed = weight * part.observed
    free_scale = "scale" in problem.free
    count = 2 * round(options.capture / SCAN_STEP) + 1 if names else 1
    best, found = math.inf, values
    widths = (
        FIRST_WIDTHS
        if "caglioti_w" in problem.free and "caglioti_w" not in (options.start or {})
        else (None,)
    )
    for width in widths:
        for size in np.linspace(1.0 - options.capture, 1.0 + options.capture, count):
            trial = values | {n: values[n] * float(size) for n in names}
            if width is not None:
                trial["caglioti_w"] = width**2
            plain = trial | {"scale": 1.0} | dict.fromkeys(model.background_names, 0.0)
            columns = [model.curve(plain, ())[0]] if free_scale else []
            design = np.column_stack([*columns, model.chebyshev]) * weight[:, None]
            target = (
                observed if free_scale else observed - weight * trial["scale"] * model.curve(plain, ())[0]
            )
            solution = np.linalg.lstsq(design, target, rcond=None)[0]
            off = target - design @ solution
            cost = float(off @ off)
            if free_scale and solution[0] <= 0:
                continue
            if cost < best:
                best = cost
                terms = solution[1:] if free_scale else solution
                found = trial | dict(zip(model.background_names, terms.tolist(), strict=True))
                if free_scale:
                    found["scale"] = float(solution[0])
    return found
