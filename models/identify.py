"""The one door: a measured G(r) in, an :class:`Identification` out.

    quality gate -> metal clusters: coarse match with the whole library -> refinements       ->  verdict,
                 -> network: short list of compounds -> quick fits -> refinements            ->  probabilities

Everything is deterministic, on one thread in each process. Lengths in angstrom, Q in 1/angstrom. Where only metals may
be present, and no catalogue is given, compounds are left out: nothing but clusters can explain the pattern then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from solvus.models.identification import (
    NONE,
    Candidate,
    Descriptor,
    Identification,
    PhaseShare,
    Recognised,
    Verdict,
)
from solvus.models.pattern import Pattern, PatternError
from solvus.models.recognition.candidates import Data, Refinement
from solvus.models.recognition.metal_clusters import (
    EXPANSION,
    Question,
    candidates,
    elements_of,
    limit_of,
    objections,
    search,
)
from solvus.models.recognition.quality import Quality, assess
from solvus.models.recognition.weighing import (
    candidate_of,
    cluster_descriptors,
    compound_descriptors,
    recognised_of,
    types_of,
    weighed,
)
from solvus.models.refinement.least_squares import QDAMP_PRIOR, calculated
from solvus.models.scattering.simulate import pattern_of
from solvus.models.structures.clusters import metals
from solvus.models.structures.library import Library, require_metal

if TYPE_CHECKING:
    # Compounds need torch, whose import takes two seconds; a campaign for metals does without.
    from solvus.models.recognition.compounds import Compound, FormFactors, Terms
    from solvus.models.recognition.looking import Look
    from solvus.models.structures.catalogue import Catalogue

__all__ = ["curve_of", "identify", "pattern_of"]

Floats = NDArray[np.float64]

MODEL_VERSION = "clusters-1"
"""Version of the procedure for clusters; the library's own version is appended."""
COMPOUNDS_VERSION = "compounds-3"
"""Version of the procedure for compounds; appended with the catalogue's where compounds were asked."""
R_RANGE = (1.6, 20.0)
SIBLINGS, FAR_SIBLINGS, DECLARED_SIBLINGS = 4, 12, 50
"""Further compounds of the best types that are refined: usually, where the network knows nothing like the pattern, and
where a range of cells is declared, within which only refinement tells the metals of a type apart."""
WIDEST = 0.6
"""Of a declared expansion."""
LEAST_NONE = 0.9
"""Least probability of "none of these" where every structure that was tried leaves too much unexplained: what measured
patterns leave was taken for the limit, and one in ten may leave more."""
NOTHING = ((NONE, 1.0),)
LARGE_QBROAD = 0.02
"""1/angstrom; it widens peaks at 20 angstrom by 8 %, which a common width still describes."""
SURELY_METAL = 0.5
"""Probability of a metal from which its bond length is taken from the network."""
LEAST_METAL = 0.01
"""Probability of a metal, as the network sees it, from which metal clusters are searched where compounds explain the
pattern too."""


def identify(
    pattern: Pattern,
    *,
    elements: Sequence[str] | None = None,
    r_range: tuple[float, float] = R_RANGE,
    top: int = 5,
    qdamp: float | None = None,
    qbroad: float | None = None,
    library: Library | None = None,
    catalogue: Catalogue | None = None,
    expansion: float | None = None,
    siblings: int | None = None,
    form_factors: FormFactors = "exact",
    processes: int = 1,
) -> Identification:
    """Say which structure a pattern shows.

    Parameters
    ----------
    pattern : a G(r).
    elements : elements the sample may hold, and no others; by default those of the composition in the pattern's
        conditions, and where there is none, any.
    r_range : angstrom, over which R_w is taken; the size of a metal particle uses all data up to 60 angstrom.
    top : number of candidates returned.
    qdamp : the instrument's damping, 1/angstrom; by default the pattern's own, and where that is unknown it
        is refined for clusters and taken as usual for compounds.
    catalogue : of compounds; by default the shipped one, without a user's own structures.
    expansion : relative range of bond lengths of named metals, and of cells, about the library's that is held
        possible, all of it alike; *none of these* is judged against it. Cells are reached up to 4.8 %. By default bond
        lengths lie within 6 %, and a cell that heat, size and substitution do not explain counts less beside others.
    siblings : how many further compounds of the best types are refined; ``None`` for what the pattern asks for.
    form_factors : ``"constant"`` for curves that PDFgui or srreal calculated with X-ray weights at Q = 0.
    processes : in which compounds are refined; the answer does not depend on their number.

    Raises
    ------
    PatternError
        When the pattern is no G(r), or ``r_range`` or ``expansion`` no range.
    LibraryError
        For an element that does not exist, or when no structure is made of those given.
    """
    if expansion is not None and not 0.0 < expansion <= WIDEST:
        raise PatternError(f"expansion: {expansion:g} is not between 0 and {WIDEST:g}")
    if pattern.quantity != "G":
        raise PatternError(f"quantity: G(r) is needed, not {pattern.quantity}; transform it first")
    if not 0.0 < r_range[0] < r_range[1]:
        raise PatternError(f"r_range: {r_range[0]:g} to {r_range[1]:g} is no range of positive distances")
    library = library or Library.load()
    if elements is not None:
        _require_elements(elements)
    wanted = _Wanted.of(
        list(elements) if elements else _elements_in(pattern.conditions.composition), catalogue
    )
    if elements is not None and not wanted.possible:
        require_metal(elements[0])
    quality = assess(pattern, r_range)
    question = Question(
        pattern,
        Data(pattern.x, pattern.y, quality.qmin, quality.qmax),
        quality.noise,
        r_range,
        pattern.conditions.qdamp if qdamp is None else qdamp,
        library,
        _remarks(quality, pattern.conditions.qbroad if qbroad is None else qbroad),
        expansion,
    )
    answer = _Answer(question, wanted, top, siblings, form_factors, processes)
    if quality.reasons:
        return answer.without("poor_data", quality.reasons)
    if not wanted.possible:
        reason = f"the composition {pattern.conditions.composition} names no structure of the library"
        return answer.without("none", (reason,))
    return answer.identified()


def curve_of(
    candidate: Candidate,
    pattern: Pattern,
    r_range: tuple[float, float],
    library: Library | None = None,
    catalogue: Catalogue | None = None,
) -> Floats:
    """The candidate's G(r) on the pattern's own points within ``r_range``."""
    shelf = library or Library.load()
    quality = assess(pattern, r_range)
    data = Data(pattern.x, pattern.y, quality.qmin, quality.qmax)
    if candidate.structure not in {entry.name for entry in shelf.entries}:
        from solvus.models.recognition.compounds import curve_of_compound

        record = (catalogue or _shipped()).find(candidate.structure)
        return curve_of_compound(record, candidate.parameters, pattern, data, r_range)
    entry = shelf.entry(candidate.structure)
    window = data.window(r_range, entry.span * candidate.parameters["bond_length"], thinning=None)
    return calculated(shelf.scattering(entry), window, candidate.parameters)


@dataclass(frozen=True)
class _Wanted:
    """What may explain the pattern: ``metals`` as clusters (``None``: any), ``catalogue`` of compounds or ``None``, of
    these ``elements`` (``None``: any)."""

    metals: list[str] | None
    elements: frozenset[str] | None
    catalogue: Catalogue | None

    @classmethod
    def of(cls, elements: list[str] | None, catalogue: Catalogue | None) -> _Wanted:
        if elements is None:
            return cls(None, None, catalogue or _shipped())
        of_metals, named = [element for element in elements if element in metals()], frozenset(elements)
        if len(of_metals) == len(elements) and (catalogue is None or not _holds_a_compound(catalogue, named)):
            return cls(of_metals, named, None)
        return cls(of_metals, named, catalogue or _shipped())

    @property
    def possible(self) -> bool:
        if self.metals != []:
            return True
        if self.catalogue is None:
            return False
        return _holds_a_compound(self.catalogue, self.elements)


def _hint(look: Look | None) -> tuple[float, float] | None:
    """The bond length that the network sees, where it takes the pattern for a metal's."""
    return look.seen.spacing if look is not None and look.metal >= SURELY_METAL else None


def _shipped() -> Catalogue:
    from solvus.models.structures.catalogue import Catalogue

    return Catalogue.load(own_too=False)


def _holds_a_compound(catalogue: Catalogue, elements: frozenset[str] | None) -> bool:
    """Whether it holds a structure of these elements that is not among the metal clusters."""
    from solvus.models.recognition.compounds import candidates_of

    return bool(candidates_of(catalogue, elements))


def _require_elements(elements: Sequence[str]) -> None:
    if not elements:
        raise PatternError("elements: name at least one, such as Pt")
    for element in elements:
        if atomic_numbers.get(element, 0) < 1:
            require_metal(element)


def _remarks(quality: Quality, qbroad: float | None) -> tuple[str, ...]:
    if qbroad is None or qbroad <= LARGE_QBROAD:
        return quality.remarks
    return (*quality.remarks, f"qbroad {qbroad:g} is large and not modelled; the size may come out too small")


def _elements_in(composition: str | None) -> list[str] | None:
    """Elements named in a chemical formula; ``None`` without a formula."""
    symbols = re.findall(r"[A-Z][a-z]?", composition or "")
    known = [symbol for symbol in dict.fromkeys(symbols) if atomic_numbers.get(symbol, 0) > 0]
    return known if composition else None


@dataclass(frozen=True)
class _Answer:
    """Explanations of one question, weighed against one another."""

    question: Question
    wanted: _Wanted
    top: int
    siblings: int | None
    form_factors: FormFactors
    processes: int

    def identified(self) -> Identification:
        question, wanted = self.question, self.wanted
        look = self._look()
        compounds = self._compounds(look)
        limit = limit_of(question, None if wanted.elements is None else sorted(wanted.elements))
        good = [compound for compound in compounds if compound.r_w <= limit]
        likely = look is None or look.metal >= LEAST_METAL or not good
        refinement = search(question, wanted.metals, _hint(look)) if likely and wanted.metals != [] else None
        against = () if refinement is None else objections(question, refinement.candidates[0], wanted.metals)
        clusters = None if against else refinement
        if clusters is None and not good:
            return self._none(refinement, compounds, against, limit, look)
        share, none = weighed(clusters, good, question, look)
        if none > 0.5:
            doubt = f"with probability {none:.2f} this is nothing that the library holds"
            return self._none(refinement, compounds, (*against, doubt), limit, look)
        split = 0 if clusters is None else len(clusters.candidates)
        if clusters is None or share[:split].sum() < share[split:].sum():
            descriptors = compound_descriptors(good[int(share[split:].argmax())])
        else:
            descriptors = cluster_descriptors(clusters, share[:split] / share[:split].sum(), question)
        found = self._ranked(clusters, good, share)
        types = types_of(clusters, good, share, none)
        made = self._made(
            "identified", question.remarks, found, descriptors, recognised_of(look, types, good)
        )
        fits = {compound.item.name: compound for compound in good}
        return made.model_copy(update={"phases": self._phases(found[0], fits.get(found[0].structure))})

    def _phases(self, first: Candidate, compound: Compound | None) -> tuple[PhaseShare, ...]:
        if self.wanted.catalogue is None or self.form_factors != "exact":
            return ()  # the second phase is looked for with the weights of a measurement
        from solvus.models.recognition.two_phases import phases_of

        question = self.question
        return phases_of(
            question.pattern,
            question.data,
            first,
            compound,
            question.r_range,
            elements=self.wanted.elements,
            qdamp=self._qdamp,
            catalogue=self.wanted.catalogue,
        )

    def without(self, verdict: Verdict, reasons: tuple[str, ...]) -> Identification:
        return self._made(verdict, reasons)

    def _look(self) -> Look | None:
        """What the network sees; ``None`` where nothing but metals may be there."""
        question, wanted = self.question, self.wanted
        if wanted.catalogue is None:
            return None
        from solvus.models.recognition.compounds import candidates_of
        from solvus.models.recognition.looking import look

        return look(
            question.pattern,
            question.data,
            question.r_range,
            noise=question.noise,
            terms=self._terms(False),
            items=candidates_of(wanted.catalogue, wanted.elements),
            catalogue=wanted.catalogue,
        )

    def _terms(self, far: bool) -> Terms:
        from solvus.models.recognition.compounds import Terms

        usual = FAR_SIBLINGS if far else SIBLINGS
        if self.question.expansion is not None:
            usual = DECLARED_SIBLINGS
        siblings = usual if self.siblings is None else self.siblings
        return Terms(self._qdamp, self.question.expansion, siblings, self.form_factors)

    @property
    def _qdamp(self) -> float:
        return QDAMP_PRIOR[0] if self.question.qdamp is None else self.question.qdamp

    def _compounds(self, look: Look | None) -> list[Compound]:
        question = self.question
        if look is None or not look.chosen or self.wanted.catalogue is None:
            return []
        from solvus.models.recognition.compounds import explain

        return explain(
            question.pattern,
            question.data,
            question.r_range,
            look.chosen,
            self._terms(look.far),
            relatives=look.relatives,
            catalogue=self.wanted.catalogue,
            processes=self.processes,
        )

    def _ranked(
        self, clusters: Refinement | None, compounds: Sequence[Compound], share: Floats
    ) -> tuple[Candidate, ...]:
        refined = [] if clusters is None else clusters.candidates
        split, metals_of = len(refined), self.wanted.metals
        found = [candidate_of(c, float(p)) for c, p in zip(compounds, share[split:], strict=True)]
        if refined:
            found += candidates(refined, share[:split], metals_of, self.question, self.top)
        return tuple(sorted(found, key=lambda c: (-c.probability, c.structure))[: self.top])

    def _none(
        self,
        refinement: Refinement | None,
        compounds: Sequence[Compound],
        against: tuple[str, ...],
        limit: float,
        look: Look | None,
    ) -> Identification:
        """Nothing explains the pattern; when elements were given, say whether another metal would."""
        question, reasons = self.question, list(against)
        if compounds:
            best = min(compounds, key=lambda c: c.r_w)
            reasons.append(
                f"the best compound, {best.item.name}, leaves R_w {best.r_w:.2f}; "
                f"at most {limit:.2f} would explain the pattern"
            )
        if self.wanted.metals:
            free = search(question, None).candidates[0]
            reach = question.expansion or EXPANSION
            others = elements_of(free.bond, None)[:6]
            if others and not objections(question, free, None):
                reasons.append(
                    f"{', '.join(self.wanted.metals)} does not fit within {reach:.0%} of its bond length, but "
                    f"{free.entry.name} with {free.bond:.2f} angstrom does (R_w {free.fit.r_w:.2f}), "
                    f"as in {', '.join(others)}"
                )
        if refinement is None and not compounds:
            named = ", ".join(sorted(self.wanted.elements or ()))
            reasons.append(f"the library holds nothing of {named} that comes near the pattern")
            recognised = recognised_of(look, NOTHING, ())
            return self._made("none", (*reasons, *question.remarks), recognised=recognised)
        share, none = weighed(refinement, compounds, question, look)
        surely = max(none, LEAST_NONE)
        rest = share * ((1.0 - surely) / max(1.0 - none, 1e-12))
        types = types_of(refinement, compounds, rest, surely)
        found = self._ranked(refinement, compounds, rest)
        recognised = recognised_of(look, types, ())
        return self._made("none", (*reasons, *question.remarks), found, recognised=recognised)

    def _made(
        self,
        verdict: Verdict,
        reasons: tuple[str, ...],
        found: tuple[Candidate, ...] = (),
        descriptors: dict[str, Descriptor] | None = None,
        recognised: Recognised | None = None,
    ) -> Identification:
        version = f"{MODEL_VERSION}+library-{self.question.library.version}"
        if self.wanted.catalogue is not None:
            from solvus.models.recognition.weights import shipped

            version += f"+{COMPOUNDS_VERSION}+catalogue-{self.wanted.catalogue.version}+{shipped().version}"
        return Identification(
            verdict=verdict,
            reasons=reasons,
            candidates=found,
            descriptors=descriptors or {},
            recognised=recognised,
            r_range=self.question.r_range,
            pattern_sha256=self.question.pattern.sha256,
            model_version=version,
        )
