"""From what the scientist wrote to goals that can be scored.

Every kind of target goes the same way: it becomes a pattern as this laboratory would measure it, the pattern is
identified like any other, and the descriptors of that identification are the goals. So the target is seen with the
same eyes as the samples, and a target that nothing in the library explains is refused.
"""

from __future__ import annotations

import math

import numpy as np

from solvus.agent.campaign import Target, Tolerance
from solvus.agent.jobs import EXPLORATION, ResolvedTarget, ResolveRequest
from solvus.agent.planner.placed import goals_at
from solvus.agent.scoring import FRACTION, Goal, TargetDescriptors, leading_family
from solvus.models.identification import Candidate, Identification
from solvus.models.identify import identify, pattern_of
from solvus.models.latent.posterior import LatentPosterior
from solvus.models.pattern import Pattern, PatternError
from solvus.models.pattern_files import read_gr
from solvus.models.structures.clusters import FAMILIES
from solvus.models.structures.library import Library, LibraryError
from solvus.models.structures.structure_files import StructureFileError, read_cluster

R_STEP = 0.02
"""angstrom; well below the Nyquist step pi / Qmax of any instrument."""


EXPLAINED = 0.25
"""R_w up to which the library explains a calculated target. Free of noise, what is left is another structure: other
sizes and shapes of a family leave under 0.05, an icosahedron shaken by 0.3 angstrom 0.14, a chain of atoms 0.53."""


class TargetError(ValueError):
    """A target that cannot be aimed at; one sentence names the field and the fix."""


DESCRIBED = (*(FRACTION + family for family in FAMILIES), "diameter", "bond_length")
"""What every identification of a metal cluster says, and may be sought or bounded."""


def _pattern_of_target(request: ResolveRequest, target: Target) -> tuple[str, tuple[str, ...], Pattern]:
    """Title, elements and pattern of the target."""
    r = np.arange(0.0, request.rmax + 0.5 * R_STEP, R_STEP)
    if target.structure is not None:
        try:
            named = Library.load().resolve(target.structure)
        except LibraryError as error:
            raise TargetError(f"target.structure: {error}") from error
        pattern = pattern_of(target.structure, request.conditions, r)
        return target.structure, (named.element,), pattern
    if target.file is not None:
        try:
            atoms = read_cluster(target.file)
        except StructureFileError as error:
            raise TargetError(f"target.file: {error}") from error
        return target.file.name, tuple(sorted(set(atoms.symbols))), pattern_of(atoms, request.conditions, r)
    assert target.pattern is not None  # noqa: S101 -- a Target has exactly one of the three
    try:
        measured = read_gr(target.pattern)
    except PatternError as error:
        raise TargetError(f"target.pattern: {error}") from error
    return target.pattern.name, request.elements, measured


def goals_of(identification: Identification, tolerance: Tolerance) -> TargetDescriptors:
    """Goals at the descriptors of an identification."""
    family = leading_family(identification)
    d = identification.descriptors
    goals = {
        f"{FRACTION}{family}": Goal(value=1.0, tolerance=tolerance.impurity, at_least=True),
        "diameter": Goal(
            value=d["diameter"].mean,
            tolerance=tolerance.diameter * d["diameter"].mean,
            at_least=d["diameter"].lower_bound,
        ),
        "bond_length": Goal(
            value=d["bond_length"].mean, tolerance=tolerance.bond_length * d["bond_length"].mean
        ),
    }
    return TargetDescriptors(goals=goals, family=family)


def _with_further(request: ResolveRequest, implied: TargetDescriptors | None) -> TargetDescriptors | None:
    """The target's own goals with those that the campaign gives besides or in their place, and the bounds."""
    for kind, names in (("goals", request.goals), ("bounds", request.bounds)):
        for name in names:
            if name not in DESCRIBED:
                raise TargetError(
                    f"{kind}: {name} is no descriptor of a sample; there are {', '.join(DESCRIBED)}"
                )
    goals = {**({} if implied is None else implied.goals), **request.goals}
    if not goals and not request.bounds:
        return None
    family = None if implied is None else implied.family
    return TargetDescriptors(goals=goals, bounds=request.bounds, family=family)


def resolve_target(request: ResolveRequest) -> ResolvedTarget:
    """Resolve a target, with the further goals and bounds of its campaign.

    Raises
    ------
    TargetError
        For a target that cannot be read, or that nothing in the library explains; for a goal or bound on what no
        identification says.
    """
    target = request.target
    if target is None:
        return ResolvedTarget(
            title=EXPLORATION,
            elements=request.elements,
            descriptors=_with_further(request, None),
            pattern=None,
            latent=_latent_version() if request.latent else None,
        )
    title, elements, pattern = _pattern_of_target(request, target)
    try:
        seen = identify(
            pattern,
            elements=request.elements or elements or None,
            r_range=request.r_range,
            qdamp=request.conditions.qdamp,
            qbroad=request.conditions.qbroad,
            expansion=request.expansion,
        )
    except (LibraryError, PatternError) as error:
        raise TargetError(f"target: {error}") from error
    best = seen.candidates[0].r_w if seen.candidates else math.inf
    calculated = target.pattern is None
    if seen.verdict != "identified" or (calculated and best > EXPLAINED):
        why = "; ".join(seen.reasons) or f"its best structure leaves R_w {best:.2f}"
        raise TargetError(
            f"target: {title} is outside the library ({why}); choose a metal cluster that the library holds"
        )
    descriptors = _with_further(request, goals_of(seen, target.tolerance))
    assert descriptors is not None  # noqa: S101 -- an identified target implies goals
    return ResolvedTarget(
        title=title,
        elements=request.elements or elements or seen.candidates[0].elements,
        descriptors=descriptors,
        pattern=pattern,
        latent=_latent_version() if request.latent else None,
        aim=goals_at(_place_of(seen.candidates[0]), descriptors, request.goals) if request.latent else None,
    )


def _latent_version() -> str:
    from solvus.models.latent.weights import shipped

    return shipped().version


def _place_of(best: Candidate) -> LatentPosterior:
    """Where the structure lies that explains the target's pattern: known better than the place of the pattern itself.

    Raises
    ------
    TargetError
        For what is no metal particle.
    """
    from solvus.models.latent.placing import placed_candidates
    from solvus.models.latent.weights import shipped

    place = placed_candidates(shipped(), [best.model_copy(update={"probability": 1.0})])
    if place is None:
        raise TargetError(
            f"descriptors: latent has no place for {best.structure}, which is no metal particle; "
            "use descriptors: identification"
        )
    return place
