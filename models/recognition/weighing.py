"""Explanations of one pattern weighed against one another, and what follows from the best: types, metals, descriptors.

What needs torch is imported where it is used: a campaign for metals does without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from solvus.models.identification import NONE, Candidate, Descriptor, Recognised
from solvus.models.recognition.candidates import (
    INDEPENDENT_SHARE,
    Refinement,
    complexity,
    log_likelihood,
    log_prior,
)
from solvus.models.recognition.metal_clusters import Question
from solvus.models.recognition.metal_groups import group_of
from solvus.models.recognition.mixture import fraction_descriptors
from solvus.models.recognition.size import bond_descriptor, diameter_descriptor
from solvus.models.structures.clusters import ALL_FAMILIES

if TYPE_CHECKING:
    from solvus.models.recognition.compounds import Compound
    from solvus.models.recognition.looking import Look

Floats = NDArray[np.float64]

NEARLY_AS_WELL = 1.1
"""Times the least R_w: what the unmodelled rest of a measured pattern cannot decide between."""
CLUSTER_PARAMETERS = 5
"""Scale, bond length, displacement, correlated motion and the choice of a size."""


def weighed(
    clusters: Refinement | None, compounds: Sequence[Compound], question: Question, look: Look | None
) -> tuple[Floats, float]:
    """Probability of each cluster and then each compound, and of "none of these"."""
    refined = [] if clusters is None else clusters.candidates
    r_w = np.array([c.fit.r_w for c in refined] + [c.r_w for c in compounds])
    price = complexity(CLUSTER_PARAMETERS, question.data, question.r_range)
    prior = np.array([log_prior(c.entry) - price for c in refined] + [c.log_prior for c in compounds])
    outside = np.array([0.0] * len(refined) + [c.outside for c in compounds])
    if look is None:
        logs = log_likelihood(r_w, question.data, question.r_range) + prior
        weight = np.exp(logs - logs.max())
        return np.asarray(weight / weight.sum()), 0.0
    from solvus.models.recognition.evidence import Evidence, posterior

    kinds = [c.entry.family for c in refined] + [c.item.type for c in compounds]
    evidence = Evidence(
        r_w,
        np.array([look.probability(kind) for kind in kinds]),
        # Among structures only, for "none of these" was calibrated against structures without any price; but what lies
        # outside a declared prior gives way to it.
        prior - prior.max(initial=-np.inf) + outside,
        look.probability(NONE),
        question.data.independent_points(question.r_range),
        question.noise,
        tuple(kinds),
        np.append(np.zeros(len(refined)), _within_types(compounds, question, look)),
    )
    share = posterior(evidence, look.weights)
    return share[:-1], float(share[-1])


def _within_types(compounds: Sequence[Compound], question: Question, look: Look) -> Floats:
    """What tells compounds of one type apart, beyond what tells types apart: (m,) logarithms.

    Errors of model and measurement, for which misfits of different types hardly count (the a of
    :mod:`~solvus.models.recognition.evidence`), are much the same for all compounds of a type. Between these, misfits
    count as between clusters (``INDEPENDENT_SHARE``). The network, which has learnt from noisy patterns, has a word as
    well: how near it finds each.
    """
    points = question.data.independent_points(question.r_range)
    r_w = np.array([c.r_w for c in compounds])
    more = INDEPENDENT_SHARE - look.weights.misfit
    misfit = -0.5 * more * points * np.log(r_w**2 + look.weights.floor**2)
    near = np.array([look.relatives[c.item.name] for c in compounds])
    return np.asarray(misfit + look.word * near)


def types_of(
    clusters: Refinement | None, compounds: Sequence[Compound], share: Floats, none: float
) -> tuple[tuple[str, float], ...]:
    """Probability of each structure type, most probable first."""
    refined = [] if clusters is None else clusters.candidates
    total = {NONE: none}
    for kind, p in zip(
        [c.entry.family for c in refined] + [c.item.type for c in compounds], share, strict=True
    ):
        total[kind] = total.get(kind, 0.0) + float(p)
    return tuple(sorted(total.items(), key=lambda pair: (-pair[1], pair[0])))


def recognised_of(
    look: Look | None, types: tuple[tuple[str, float], ...], compounds: Sequence[Compound]
) -> Recognised | None:
    """What the network adds to the answer; ``None`` where it was not asked.

    The set of metals is promised for patterns of the library's compounds. Of one that lies far from all of them, a
    solid solution say, it also holds the metals of every compound that fits nearly as well as the best.
    """
    if look is None:
        return None
    # In a pattern of one metal the form factor cancels; its bond length names the metals, beside each candidate.
    of_metal = types[0][0] in ALL_FAMILIES
    return Recognised(
        types=types,
        metals=() if of_metal else (*look.seen.metal_set, *_fitting_metals(look, compounds)),
        promised=not look.far,
        coverage=look.coverage,
        strangeness=look.strangeness,
        strange=look.strange,
    )


def _fitting_metals(look: Look, compounds: Sequence[Compound]) -> tuple[str, ...]:
    if not look.far or not compounds:
        return ()
    most = NEARLY_AS_WELL * min(c.r_w for c in compounds)
    elements = {e for c in compounds if c.r_w <= most for e in c.item.elements}
    groups = {group for e in elements if (group := group_of(e)) is not None}
    return tuple(sorted(groups - set(look.seen.metal_set)))


def cluster_descriptors(refinement: Refinement, share: Floats, question: Question) -> dict[str, Descriptor]:
    """Size, bond length and shares of the families, over the candidates with their probabilities."""
    data, refined = question.data, refinement.candidates
    return {
        "diameter": diameter_descriptor(refinement, share, float(data.r[-1])),
        "bond_length": bond_descriptor(refined, share),
        **fraction_descriptors(refined, share, data, question.library, question.r_range),
    }


def compound_descriptors(compound: Compound) -> dict[str, Descriptor]:
    """Size and cell of the best compound, each with its uncertainty."""
    found = {}
    for name in ("diameter", "a", "b", "c", "expansion"):
        value = compound.fit.values.get(name)
        if value is not None and value.free and value.uncertainty is not None:
            found[name] = Descriptor(mean=value.value, sd=value.uncertainty)
    return found


def candidate_of(compound: Compound, probability: float) -> Candidate:
    """As the answer lists it."""
    return Candidate(
        structure=compound.item.name,
        family=compound.item.type,
        elements=tuple(sorted(compound.item.elements)),
        probability=min(1.0, probability),
        r_w=compound.r_w,
        parameters={
            name: value.value for name, value in compound.fit.values.items() if value.free or name == "qdamp"
        },
    )
