"""The learned recogniser under evaluation: the network alone, with quick fits, and with full refinement.

All three share the network. The first answers from it alone; the second weighs it with a quick fit of every structure
of a short list; the third refines the best of the list as `solvus identify` does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from solvus.models.identification import NONE, Identification
from solvus.models.identify import identify
from solvus.models.pattern import Pattern
from solvus.models.recognition.candidates import Data
from solvus.models.recognition.compounds import Chosen, Terms, explain
from solvus.models.recognition.evidence import posterior
from solvus.models.recognition.quality import Quality, assess
from solvus.models.recognition.recogniser import Recogniser, Recognition, canonical
from solvus.models.recognition.references import SHARPNESS
from solvus.models.recognition.screening import worth_refining
from solvus.models.recognition.short_list import Fitted, evidence_of, short_list
from solvus.models.refinement.least_squares import QDAMP_PRIOR
from solvus.models.structures.catalogue import Catalogue, Item
from solvus.models.structures.record import Record
from solvus.simulations.benchmarks.recognition.answer import Answer, Declaration

R_RANGE = (1.6, 20.0)
"""angstrom, as identification compares."""
NAMED = 20
"""Types and structures in an answer."""
REFUSED = 30.0
"""Strangeness of a pattern that cannot be judged."""
BULK = 400.0
USUAL_EXPANSION = 0.01
"""Standard deviation of the stretch where no range is declared."""
Ranked = tuple[tuple[str, float], ...]


class NetworkAlone:
    """Types by the network's own probabilities, structures by nearness in the embedding."""

    name = "network"

    def __init__(self) -> None:
        self._kept: tuple[object, Recogniser] | None = None

    def answers(self, patterns: Sequence[Pattern], library: Sequence[Record] | None) -> Iterator[Answer]:
        recogniser = self._recogniser(library)
        for pattern in patterns:
            start = time.perf_counter()
            quality = assess(pattern, R_RANGE)
            if quality.reasons:
                yield Answer((), (), frozenset(), 1.0, False, REFUSED, time.perf_counter() - start)
                continue
            neutron = np.array([pattern.conditions.radiation == "neutron"])
            values = canonical(pattern, quality.qmin, quality.qmax)
            seen = recogniser.answers(values, neutron, count=len(recogniser.names))[0]
            types, structures, none = self._judged(recogniser, seen, pattern, quality)
            yield Answer(
                types[:NAMED],
                structures[:NAMED],
                frozenset(seen.metal_set),
                none,
                not seen.strange and none < 0.5,
                self._strangeness(seen, none),
                time.perf_counter() - start,
            )

    def _recogniser(self, library: Sequence[Record] | None) -> Recogniser:
        if self._kept is None or self._kept[0] is not library:
            made = Recogniser.load()
            if library is not None:
                made = Recogniser(made.weights, library, only_own=True)
            self._kept = library, made
        return self._kept[1]

    def _judged(
        self, recogniser: Recogniser, seen: Recognition, pattern: Pattern, quality: Quality
    ) -> tuple[Ranked, Ranked, float]:
        del pattern, quality
        weight = np.exp(SHARPNESS * (np.array([n.cosine for n in seen.neighbours]) - 1.0))
        # Neighbours stand in the order of their scores, which the spacing takes part in.
        weight = np.minimum.accumulate(weight / weight.sum())
        structures = tuple((n.name, float(w)) for n, w in zip(seen.neighbours, weight, strict=True))
        if not recogniser.own:
            types = tuple(pair for pair in seen.kinds if pair[0] != NONE)
            return types, structures, seen.probability(NONE)
        # The network has no word on types that a test brings along; they follow from the neighbours.
        of_type: dict[str, float] = {}
        for n, w in zip(seen.neighbours, weight.tolist(), strict=True):
            of_type[n.kind] = of_type.get(n.kind, 0.0) + w
        return tuple(sorted(of_type.items(), key=lambda pair: (-pair[1], pair[0]))), structures, 0.0

    def _strangeness(self, seen: Recognition, none: float) -> float:
        del none
        return seen.strangeness


class QuickFits(NetworkAlone):
    """The network weighed with a quick fit of each structure of the short list."""

    name = "quick fits"

    def __init__(self) -> None:
        super().__init__()
        self._prior = Declaration()

    def expect(self, prior: Declaration) -> None:
        """See :class:`~solvus.simulations.benchmarks.recognition.answer.Declared`."""
        self._prior = prior

    def _judged(
        self, recogniser: Recogniser, seen: Recognition, pattern: Pattern, quality: Quality
    ) -> tuple[Ranked, Ranked, float]:
        data = Data(pattern.x, pattern.y, quality.qmin, quality.qmax)
        fitted = short_list(
            recogniser,
            seen,
            data,
            R_RANGE,
            qdamp=_qdamp(pattern),
            radiation=pattern.conditions.radiation,
            expansion=self._prior.expansion,
        )
        if not fitted:
            return (), (), 1.0
        fitted = self._refined(recogniser, seen, pattern, data, quality, fitted)
        p = self._posterior(recogniser, seen, data, quality, fitted)
        order = np.argsort(-p[:-1], kind="stable")
        structures = tuple((fitted[k].name, float(p[k])) for k in order)
        types: dict[str, float] = {}
        for k in order:
            types[fitted[k].kind] = types.get(fitted[k].kind, 0.0) + float(p[k])
        return tuple(sorted(types.items(), key=lambda pair: (-pair[1], pair[0]))), structures, float(p[-1])

    def _posterior(
        self, recogniser: Recogniser, seen: Recognition, data: Data, quality: Quality, fitted: list[Fitted]
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        evidence = evidence_of(
            seen,
            fitted,
            data.independent_points(R_RANGE),
            quality.noise,
            expansion=self._prior.expansion or USUAL_EXPANSION,
        )
        found: np.ndarray[tuple[int], np.dtype[np.float64]] = posterior(
            evidence, recogniser.weights.metadata.calibration.evidence
        )
        return found

    def _refined(
        self,
        recogniser: Recogniser,
        seen: Recognition,
        pattern: Pattern,
        data: Data,
        quality: Quality,
        fitted: list[Fitted],
    ) -> list[Fitted]:
        del recogniser, seen, pattern, data, quality
        return fitted

    def _strangeness(self, seen: Recognition, none: float) -> float:
        return float(np.log(max(none, 1e-12) / max(1.0 - none, 1e-12)))


class Refined(QuickFits):
    """What `identify` answers. Where a test brings a library of its own along, which stands in the place of the shipped
    one, the best ``most`` of the short list are refined, ``each`` of one type and number of atoms: the classes of the
    peers are types of their own, or copies of one geometry in many metals."""

    name = "refined"
    most, each = 12, 2
    """Structures of a test's own library that are refined, and of one kind."""

    def __init__(self) -> None:
        super().__init__()
        self._items: tuple[object, dict[str, Item]] | None = None

    def answers(self, patterns: Sequence[Pattern], library: Sequence[Record] | None) -> Iterator[Answer]:
        if library is not None:
            yield from super().answers(patterns, library)
            return
        for pattern in patterns:
            start = time.perf_counter()
            found = identify(
                pattern,
                top=NAMED,
                expansion=self._prior.expansion,
                form_factors=self._prior.form_factors,
            )
            yield _answer_of(found, time.perf_counter() - start)

    def _refined(
        self,
        recogniser: Recogniser,
        seen: Recognition,
        pattern: Pattern,
        data: Data,
        quality: Quality,
        fitted: list[Fitted],
    ) -> list[Fitted]:
        items = self._held(recogniser)
        p = self._posterior(recogniser, seen, data, quality, fitted)
        order = [k for k in np.argsort(-p[:-1], kind="stable").tolist() if fitted[k].name in items]
        kinds = [f"{fitted[k].kind} {items[fitted[k].name].n_atoms}" for k in order]
        best = [fitted[k] for k in worth_refining(order, kinds, self.most, self.each)]
        chosen = [Chosen(items[f.name], f.stretch, min(f.diameter, BULK), f.r_w) for f in best]
        found = explain(pattern, data, R_RANGE, chosen, Terms(_qdamp(pattern), self._prior.expansion))
        r_w = {compound.item.name: compound.r_w for compound in found}
        return [replace(f, r_w=min(f.r_w, r_w.get(f.name, f.r_w))) for f in fitted]

    def _held(self, recogniser: Recogniser) -> dict[str, Item]:
        if self._items is None or self._items[0] is not recogniser:
            known = {item.name: item for item in Catalogue.load(own_too=False).items}
            known |= {record.name: _item(record) for record in recogniser.own}
            self._items = recogniser, {name: known[name] for name in recogniser.names if name in known}
        return self._items[1]


def _qdamp(pattern: Pattern) -> float:
    known = pattern.conditions.qdamp
    return QDAMP_PRIOR[0] if known is None else known


def _answer_of(found: Identification, seconds: float) -> Answer:
    """What `identify` says, in the words of the evaluation."""
    if found.recognised is None:
        return Answer((), (), frozenset(), 1.0, False, REFUSED, seconds)
    types = tuple((kind, p) for kind, p in found.recognised.types if kind != NONE)
    structures = tuple((c.structure, c.probability) for c in found.candidates)
    return Answer(
        types[:NAMED],
        structures,
        frozenset(found.recognised.metals),
        found.recognised.none,
        found.verdict == "identified",
        found.recognised.strangeness,
        seconds,
    )


def _item(record: Record) -> Item:
    """A record that a test brings along, as a user's own."""
    return Item(
        name=record.name,
        family=record.family,
        type=record.type,
        formula=record.formula,
        elements=record.elements,
        space_group=record.space_group,
        n_atoms=len(record.species),
        span=None,
        source=record.source,
        hypothetical=record.hypothetical,
        origin="own",
        make=lambda: record,
    )
