"""Refine structures against measured patterns: the one door.

    >>> fit = refine(pattern, record, free=("scale", "lattice", "u", "delta2", "diameter"))
    >>> fit["a"], fit.uncertainty("a"), fit.r_w, fit.warnings

A pattern of G(r) is fitted in real space over ``window`` (angstrom). Several patterns share their structures and are
fitted together.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from solvus.models.pattern import Pattern
from solvus.models.refinement.capture import capture
from solvus.models.refinement.engine import Part, Problem, Restraint, solve
from solvus.models.refinement.noise import Band, Noise
from solvus.models.refinement.parameters import RefinementError
from solvus.models.refinement.pdf_model import PdfConditions, PdfModel
from solvus.models.refinement.phase import Phase
from solvus.models.refinement.refinement import Refinement
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

GROUPS: dict[str, tuple[str, ...]] = {
    "lattice": ("a", "b", "c", "alpha", "beta", "gamma", "expansion"),
    "u": ("u_*",),
    "occupancy": ("occ_*",),
    "positions": ("[xyz]_*", "[xyz][0-9]*"),
}
"""Words that stand for several parameters; every other word is the name of one, in every phase and pattern."""
USUAL = ("scale", "lattice", "u", "delta2", "diameter", "fraction")
"""What a first fit of G(r) frees; ``diameter`` counts for crystals, ``fraction`` for several phases."""
WINDOW = (1.6, 20.0)
"""angstrom: above the ripples at low r that the transform leaves, up to where nanoparticles end."""
QDAMP = 0.03
"""1/angstrom where the file says none: the mean of area detectors at synchrotrons."""
CAPTURE = 0.03
"""Share of the cell within which its best start is looked for."""
MOST = 80
"""Evaluations of one fit."""
RESTRAINT_SD = 0.1
"""angstrom that a neighbour distance of a freely refined cluster may change at the cost of one standard deviation."""
NEIGHBOURS = 1.25
"""Times an atom's nearest distance: pairs up to there are restrained."""
MAGNETIC = frozenset(
    "Cr Mn Fe Co Ni Cu Ce Pr Nd Sm Eu Gd Tb Dy Ho Er Tm Yb U Ru Os Ir".split()  # noqa: SIM905 -- a list to be read
)
"""Elements whose compounds are often magnetic."""


@dataclass(frozen=True)
class Options:
    """How to refine.

    Attributes
    ----------
    free : names of parameters or of ``GROUPS``; empty for the usual ones.
    start : values to start from, by full name.
    window : range of r, angstrom.
    noise : see :mod:`solvus.models.refinement.noise`; ``None`` takes ``spectrum`` for G(r), ``independent`` for I.
    form_factors : ``"exact"``, or ``"constant"``: X-ray weights at Q = 0, as srreal and PDFgui have them.
    capture : share of the cell within which the start is looked for by a scan; 0 for none.
    shaped : fit crystals as particles with a diameter; ``None`` when ``diameter`` (or a kin) is free.
    restraint : angstrom, standard deviation of neighbour distances when a cluster's atoms are free; 0 for none.
    """

    free: tuple[str, ...] = ()
    start: Mapping[str, float] | None = None
    window: tuple[float, float] = WINDOW
    noise: Noise | None = None
    form_factors: Literal["exact", "constant"] = "exact"
    capture: float = CAPTURE
    shaped: bool | None = None
    restraint: float = RESTRAINT_SD
    most: int = MOST


def refine(
    patterns: Pattern | Sequence[Pattern],
    structures: Record | Phase | Sequence[Record | Phase],
    options: Options | None = None,
) -> Refinement:
    """Refine.

    Parameters
    ----------
    patterns : G(r), one or several; several are labelled 1, 2, ... in the names of their own parameters.
    structures : one, or several phases; several are labelled 1, 2, ... too.

    Raises
    ------
    RefinementError
        One sentence that names the field and the fix.
    """
    chosen = options or Options()
    problem, phases = pdf_problem(patterns, structures, chosen)
    start = dict(chosen.start or {})
    if chosen.capture > 0:
        cells = [_cell_of(problem, label, phase) for label, phase in phases]
        start = capture(problem, cells, start, chosen.capture)
    found = solve(problem, start=start, noise=chosen.noise or "spectrum", most=chosen.most)
    return finished(found, problem, phases, _as_list(patterns))


def refine_from(
    patterns: Pattern | Sequence[Pattern],
    structures: Record | Phase | Sequence[Record | Phase],
    starts: Sequence[Mapping[str, float]],
    options: Options | None = None,
) -> list[Refinement]:
    """Refine from several starts, over the same distances; best R_w first."""
    chosen = options or Options()
    problem, phases = pdf_problem(patterns, structures, chosen)
    cells = [_cell_of(problem, label, phase) for label, phase in phases]
    found = []
    for values in starts:
        start = {**(chosen.start or {}), **values}
        if chosen.capture > 0:
            start = capture(problem, cells, start, chosen.capture)
        solution = solve(problem, start=start, noise=chosen.noise or "spectrum", most=chosen.most)
        found.append(finished(solution, problem, phases, _as_list(patterns)))
    return sorted(found, key=lambda fit: fit.r_w)


def _as_list(patterns: Pattern | Sequence[Pattern]) -> list[Pattern]:
    return [patterns] if isinstance(patterns, Pattern) else list(patterns)


def pdf_problem(
    patterns: Pattern | Sequence[Pattern],
    structures: Record | Phase | Sequence[Record | Phase],
    options: Options,
) -> tuple[Problem, list[tuple[str, Phase]]]:
    """The least-squares problem of G(r) patterns, and its labelled phases."""
    measured = _as_list(patterns)
    given = [structures] if isinstance(structures, Record | Phase) else list(structures)
    if not measured or not given:
        raise RefinementError("refine: needs at least one pattern and one structure")
    phases = [
        (str(k + 1) if len(given) > 1 else "", s if isinstance(s, Phase) else Phase.of(s))
        for k, s in enumerate(given)
    ]
    words = options.free or USUAL
    free = chosen_names(words, phases, len(measured), options)
    shaped = _shaped(words, phases, options)
    parts = [
        _part(pattern, phases, free, str(k + 1) if len(measured) > 1 else "", shaped, options)
        for k, pattern in enumerate(measured)
    ]
    restraints = [r for label, p in phases for r in _restraints(label, p, free, options.restraint)]
    known = {p.name for part in parts for p in part.model.parameters}
    usual = not options.free
    names = [name for name in free if name in known or not usual]
    problem = Problem(parts, names, restraints)
    for name, value in (options.start or {}).items():
        if name not in problem.parameters:
            raise RefinementError(f"start: {name!r} is no parameter of this model")
        problem.parameters[name] = problem.parameters[name].started(value)
    for name in names:
        parameter = problem.parameters[name]
        if name.partition("@")[0] in {"qdamp", "qbroad"} and parameter.value == 0.0:
            # The curve depends on their squares: at 0 it does not change with them, and they would stay there.
            problem.parameters[name] = parameter.started(parameter.natural)
    return problem, phases


def chosen_names(
    words: Sequence[str], phases: Sequence[tuple[str, Phase]], patterns: int, options: Options
) -> list[str]:
    """Full names of the parameters that words stand for, each once and in order."""
    names: list[str] = []
    ends = [f"@{k + 1}" for k in range(patterns)] if patterns > 1 else [""]
    for word in words:
        short, _, label = word.partition("@")
        if short in {"scale", "qdamp", "qbroad"}:
            names += [word] if label else [short + end for end in ends]
            continue
        found: list[str] = []
        for k, (own, phase) in enumerate(phases):
            if label and label != own:
                continue
            found += [f"{n}@{own}" if own else n for n in _matching(short, phase, k, options)]
        if not found and options.free:
            every = sorted({n for _, phase in phases for n in phase.parameters})
            shown = [n for n in every if n[0] not in "xyz" or "_" in n]
            rest = ("scale", "qdamp", "qbroad", "delta1", "delta2", "diameter", "elongation", "spread")
            raise RefinementError(
                f"free: {word!r} is no parameter here; there are {', '.join([*GROUPS, *shown, *rest])}"
            )
        names += found
    return list(dict.fromkeys(names))


def _matching(word: str, phase: Phase, number: int, options: Options) -> list[str]:
    if word in {"delta1", "delta2"}:
        return [word]
    if word in {"diameter", "elongation", "spread"}:
        return [word] if phase.periodic and options.shaped is not False else []
    if word == "fraction":
        return [word] if number > 0 else []
    if word == "lattice":
        return list(_cell_names(phase))
    masks = GROUPS.get(word, (word,))
    return [name for name in phase.parameters if any(fnmatch.fnmatchcase(name, m) for m in masks)]


def _cell_names(phase: Phase) -> tuple[str, ...]:
    return tuple(phase.cell_names) if phase.periodic else ("expansion",)


def _cell_of(problem: Problem, label: str, phase: Phase) -> tuple[str, ...]:
    """Free parameters that set a phase's size, by full name; empty unless all its lengths are free."""
    names = [f"{n}@{label}" if label else n for n in _cell_names(phase) if n in {"a", "b", "c", "expansion"}]
    return tuple(names) if all(n in problem.free for n in names) else ()


def _shaped(words: Sequence[str], phases: Sequence[tuple[str, Phase]], options: Options) -> list[str]:
    named = {word.partition("@")[0] for word in (*words, *(options.start or {}))}
    wanted = bool(named & {"diameter", "elongation", "spread"}) if options.shaped is None else options.shaped
    return [label for label, phase in phases if wanted and phase.periodic]


def _part(
    pattern: Pattern,
    phases: Sequence[tuple[str, Phase]],
    free: Sequence[str],
    label: str,
    shaped: Sequence[str],
    options: Options,
) -> Part:
    if pattern.quantity != "G":
        raise RefinementError(f"pattern: holds {pattern.quantity}, but G(r) is refined in real space")
    conditions = pattern.conditions
    if conditions.qmax is None:
        raise RefinementError("qmax: the pattern does not say how far in Q it was measured; give it (--qmax)")
    low, high = options.window
    if not 0.0 < low < high:
        raise RefinementError(f"range: {low:g} to {high:g} is no range of positive distances")
    inside = (pattern.x >= low - 1e-9) & (pattern.x <= high + 1e-9)
    if int(inside.sum()) < 2:
        raise RefinementError(
            f"range: only {int(inside.sum())} points between {low:g} and {high:g} angstrom; "
            f"the pattern covers {pattern.x[0]:g} to {pattern.x[-1]:g}"
        )
    r = np.asarray(pattern.x[inside])
    dy = None if pattern.dy is None else np.asarray(pattern.dy[inside])
    constant = options.form_factors == "constant" and conditions.radiation == "xray"
    model = PdfModel(
        r,
        phases,
        PdfConditions(
            qmax=conditions.qmax,
            qmin=conditions.qmin or 0.0,
            radiation="electrons" if constant else conditions.radiation,
            qdamp=QDAMP if conditions.qdamp is None else conditions.qdamp,
            qbroad=conditions.qbroad or 0.0,
        ),
        free,
        pattern=label,
        shaped=shaped,
    )
    step = float(r[-1] - r[0]) / (len(r) - 1)
    even = float(np.abs(np.diff(r) - step).max()) < 1e-3 * step + 2e-4
    band = Band(conditions.qmin or 0.0, conditions.qmax, step) if even else None
    return Part(label, r, np.asarray(pattern.y[inside]), model, dy, band)


def _restraints(label: str, phase: Phase, free: Sequence[str], sd: float) -> list[Restraint]:
    """Neighbour distances of a cluster whose atoms are free."""
    end = f"@{label}" if label else ""
    if phase.periodic or sd <= 0 or not any(name + end in free for name in phase.coordinates):
        return []
    places = np.asarray(phase.record.positions)
    d = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(d, np.inf)
    nearest = d.min(axis=1)
    result = []
    for i, j in zip(*np.triu_indices(len(places), 1), strict=True):
        if d[i, j] <= NEIGHBOURS * max(nearest[i], nearest[j]):
            names = tuple(f"{axis}{k + 1}{end}" for k in (i, j) for axis in "xyz")
            result.append(Restraint(names, float(d[i, j]), sd))
    return result


def finished(
    found: Refinement, problem: Problem, phases: Sequence[tuple[str, Phase]], patterns: Sequence[Pattern]
) -> Refinement:
    """With the refined structures and what a reader must know of the data."""
    records = {}
    for label, phase in phases:
        end = f"@{label}" if label else ""
        local = {name: found[name + end] for name in phase.parameters}
        records[label] = phase.refined(local)
    notes = []
    if any(p.conditions.qdamp is None for p in patterns) and not any(
        n.startswith("qdamp") for n in found.free
    ):
        notes.append(f"qdamp is not stated by the pattern: {QDAMP:g} 1/angstrom was assumed")
    magnetic = sorted({e for _, phase in phases for e in phase.record.elements} & MAGNETIC)
    if magnetic and any(p.conditions.radiation == "neutron" for p in patterns):
        notes.append(
            f"neutrons also see the moments of {', '.join(magnetic)}, which this model leaves out: "
            "what remains between data and fit may be magnetic and is no evidence of a second phase"
        )
    return replace(found, records=records, notes=(*found.notes, *notes))
