"""The figures of the evaluation of recognition: known cases, coverage of intervals, and a whole small evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from solvus.models.identification import Candidate, Identification, Recognised
from solvus.models.pattern import Conditions, Pattern, PatternError
from solvus.models.recognition.metal_groups import LANTHANIDE_GROUP
from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.settings import Settings
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.record import Record
from solvus.models.structures.record_structure import structure_of
from solvus.simulations.benchmarks.recognition.answer import Answer, AnswerError, Recogniser
from solvus.simulations.benchmarks.recognition.bench import Bench, Part
from solvus.simulations.benchmarks.recognition.draws import Draw
from solvus.simulations.benchmarks.recognition.estimates import (
    EstimateError,
    exact_share,
    mean,
    quantile,
    share,
)
from solvus.simulations.benchmarks.recognition.evaluation import evaluate, told
from solvus.simulations.benchmarks.recognition.matched_filter import MatchedFilter
from solvus.simulations.benchmarks.recognition.measured_patterns import Sample, judged, samples
from solvus.simulations.benchmarks.recognition.merging import merged_structures, merged_types
from solvus.simulations.benchmarks.recognition.naming import Asked, Naming, ranked
from solvus.simulations.benchmarks.recognition.peers import PeerError
from solvus.simulations.benchmarks.recognition.recognisers import CHOICES, Choice, ChoiceError, chosen
from solvus.simulations.benchmarks.recognition.reliability import calibration, classwise
from solvus.simulations.benchmarks.recognition.report import write_report
from solvus.simulations.benchmarks.recognition.results import Claim, Figure, Goal, Measured
from solvus.simulations.benchmarks.recognition.rows import Row, rows_of
from solvus.simulations.benchmarks.recognition.scoring import Judged, confusions, covered, view
from solvus.simulations.benchmarks.recognition.separation import roc, threshold
from solvus.simulations.benchmarks.recognition.trust import Pool, calibrated, coverage, refused

KINDS = ("rutile", "anatase", "spinel", "fluorite")
R = np.arange(0.0, 12.0, 0.1)


# Intervals


def test_wilson_and_clopper_pearson_give_the_figures_of_the_textbooks() -> None:
    hits = [True] * 81 + [False] * 182  # Newcombe, Stat. Med. 17, 857 (1998), table I
    wilson, exact = share(hits), exact_share(hits)
    assert (round(wilson.low, 4), round(wilson.high, 4)) == (0.2553, 0.3662)
    assert (round(exact.low, 4), round(exact.high, 4)) == (0.2527, 0.3676)
    assert share([False] * 20).low == 0.0
    assert round(share([False] * 20).high, 4) == 0.1611
    assert exact_share([True] * 29).low == pytest.approx(float(beta.ppf(0.025, 29, 1)))


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_intervals_hold_their_share_and_the_exact_one_is_the_wider(hits: list[bool]) -> None:
    wilson, exact = share(hits), exact_share(hits)
    for e in (wilson, exact):
        assert 0.0 <= e.low <= e.value <= e.high <= 1.0
    assert exact.high - exact.low >= wilson.high - wilson.low - 0.02


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    shares = [share(generator.random(120) < 0.9) for _ in range(600)]
    means = [mean(generator.normal(3.0, 1.0, 80)) for _ in range(600)]
    medians = [quantile(generator.exponential(1.0, 60), 0.5) for _ in range(600)]
    for found, truth in ((shares, 0.9), (means, 3.0), (medians, math.log(2.0))):
        assert 0.92 <= np.mean([e.low <= truth <= e.high for e in found]) <= 0.99


def test_nothing_can_be_said_of_no_patterns() -> None:
    for call in (share, exact_share, mean):
        with pytest.raises(EstimateError, match="draw at least one"):
            call([])
    with pytest.raises(EstimateError, match="19 do"):
        threshold(np.zeros(18))


# Calibration


def test_calibration_tells_honest_probabilities_from_boasting() -> None:
    generator = np.random.default_rng(2)
    p = generator.uniform(0.3, 1.0, 4000)
    right = generator.random(4000) < p
    honest, boasting = calibration(p, right, 1), calibration(np.minimum(1.0, p + 0.1 * (p < 0.9)), right, 1)
    assert honest.ece.value < 2.0 * honest.floor < 0.05
    assert boasting.ece.value == pytest.approx(0.1 * np.mean(p < 0.9), abs=0.02)
    assert boasting.ece.low > honest.ece.high
    # Bins are equally full.
    assert {b.right.n for b in honest.bins} <= {266, 267}
    # A recogniser that always says the same has one bin.
    assert len(calibration(np.full(400, 0.8), right[:400], 1).bins) == 1


def test_the_interval_of_the_calibration_error_holds_the_truth() -> None:
    generator = np.random.default_rng(3)
    held = 0
    for k in range(30):
        p = generator.uniform(0.5, 0.9, 400)
        found = calibration(p, generator.random(400) < p + 0.1, k)
        held += found.ece.low <= 0.1 <= found.ece.high
    assert held >= 25


def test_classwise_sees_what_the_first_answer_hides() -> None:
    """Every first answer is right half of the time, as stated, but always of one type."""
    answers = [{"a": 0.5, "b": 0.5}] * 100
    one_sided = classwise(answers, ["a"] * 100)
    assert (one_sided.types, one_sided.worst) == (1, ("a", pytest.approx(0.5)))
    assert classwise(answers, ["a", "b"] * 50).mean == pytest.approx(0.0)


# Separation


def test_the_threshold_accepts_what_it_promises_on_average() -> None:
    generator = np.random.default_rng(4)
    accepted = [
        np.mean(generator.normal(size=400) <= threshold(generator.normal(size=60))) for _ in range(300)
    ]
    assert 0.95 <= np.mean(accepted) <= 0.97


def test_the_area_under_the_curve_is_that_of_two_normal_distributions() -> None:
    generator = np.random.default_rng(5)
    held, areas = 0, []
    truth = 0.9213503964748574  # Phi(2 / sqrt 2)
    for _ in range(200):
        found = roc(generator.normal(size=80), generator.normal(2.0, size=80))
        held += found.area.low <= truth <= found.area.high
        areas.append(found.area.value)
        assert np.trapezoid(found.true, found.false) == pytest.approx(found.area.value)
    assert np.mean(areas) == pytest.approx(truth, abs=0.005)
    assert held >= 184
    perfect = roc(np.zeros(30), np.ones(30)).area
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert 0.8 < perfect.low < 1.0
    assert roc(np.zeros(30), np.zeros(30)).area.value == 0.5


# Answers


def _answer(types: Sequence[tuple[str, float]], **changes: object) -> Answer:
    plain = Answer(tuple(types), tuple(types), frozenset(), 0.0, True, 0.0, 0.01)
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_an_answer_that_contradicts_itself_is_refused() -> None:
    assert _answer([("a", 0.6), ("b", 0.3)], none=0.1).checked().none == 0.1
    for bad in (
        _answer([("a", 0.3), ("b", 0.6)]),
        _answer([("a", 0.6), ("a", 0.3)]),
        _answer([("a", 0.9)], none=0.3),
        _answer([("a", 1.2)]),
        _answer([("a", float("nan"))]),
    ):
        with pytest.raises(AnswerError):
            bad.checked()


def test_types_of_one_class_are_one_and_others_are_not() -> None:
    types = merged_types(Catalogue.load(own_too=False))
    assert types["inverse spinel"] == types["spinel"] == "spinel"
    assert types["cubic perovskite"] != types["double perovskite"]
    assert types["rutile"] == "rutile"
    # A name that stands for others stands for itself.
    assert all(types[name] == name for name in types.values())


def test_structures_of_one_class_share_a_name() -> None:
    catalogue = Catalogue.load(own_too=False)
    names = merged_structures(catalogue)
    assert names["Au fcc"] == names["Ag fcc"] != names["Cu fcc"]
    assert names["TiO2 anatase"] != names["TiO2 rutile"]


# A whole evaluation with answers that are known


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench({"known": Choice(Known, "knows the right answer to a stated extent")}, 1, tmp_path)


class Known:
    """Answers by what is written into a pattern's composition: the right type, or a wrong one of them all."""

    name = "known"

    def answers(self, patterns: Sequence[Pattern], library: Sequence[Record] | None) -> Iterator[Answer]:
        for pattern in patterns:
            kind, right, strange = (pattern.conditions.composition or "").split(",")
            others = [other for other in KINDS if other != kind]
            order = [kind, *others] if right == "1" else [others[0], kind, *others[1:]]
            ranked = tuple(zip(order, (0.75, 0.15, 0.05, 0.05), strict=True))
            yield Answer(ranked, ranked, frozenset({"Ti"}), 0.0, True, float(strange), 0.001)


def _draws(count: int, *, strange: float = 0.0, marked: float = 0.0) -> Iterator[Draw]:
    """Three of four are answered right; one of five holds a metal that the answer leaves out."""
    generator = np.random.default_rng(7)
    for k in range(count):
        kind, right = KINDS[k % 4], int(k // 4 % 4 != 3)
        strangeness = strange + generator.normal()
        conditions = Conditions(qmax=20.0, composition=f"{kind},{right},{strangeness:.6f}")
        pattern = Pattern(x=R, y=generator.normal(size=len(R)), conditions=conditions)
        elements = frozenset({"Ti", "O"} if k % 5 else {"Ce", "O"})
        yield Draw(pattern, kind, kind, elements, None, None, {"indistinguishable": marked})


def _part(key: str, strange: float = 0.0, marked: float = 0.0) -> Part:
    return Part(key, key, lambda n: _draws(n, strange=strange, marked=marked), 320)


def _figure(found: Measured, name: str, condition: str | None = None) -> Figure:
    (figure,) = (f for f in found.figures if f.name == name and condition in (None, f.condition))
    return figure


def test_ranks_and_confusions_are_those_of_the_answers(bench: Bench) -> None:
    asked = [Asked(_part("plain"), (Goal(low=0.7), Goal(low=0.999)), ("50 %", ""))]
    found = ranked(bench, asked, Naming("type", (1, 3)))
    first, third = _figure(found, "top-1"), _figure(found, "top-3")
    assert first.estimate.value == 0.75
    assert third.estimate.value == 1.0
    assert (first.met, first.verdict, third.verdict) == (True, "open", "open")
    assert first.peer == "50 %"
    (_, picture) = found.pictures
    assert "(20 of 80)" in picture.caption
    assert found.curves["confusions"]["cells"][0]["count"] == 20


class Oracle:
    """Is told the truth and repeats it."""

    name = "oracle"

    def told(self, draws: Sequence[Draw]) -> None:
        self._truth = [draw.type for draw in draws]

    def answers(self, patterns: Sequence[Pattern], library: Sequence[Record] | None) -> Iterator[Answer]:
        for truth, _ in zip(self._truth, patterns, strict=True):
            yield _answer([(truth, 1.0)])


def test_slow_recognisers_and_oracles_see_the_same_patterns(tmp_path: Path) -> None:
    choices = {
        "known": Choice(Known, "knows the right answer to a stated extent"),
        "oracle": Choice(Oracle, "is told", most=100),
    }
    found = ranked(
        Bench(choices, 1, tmp_path), [Asked(_part("plain"), (Goal(low=0.9),))], Naming("type", (1,))
    )
    known, oracle = (f for f in found.figures if f.name == "top-1")
    assert (known.estimate.n, known.met) == (320, False)
    assert (oracle.estimate.n, oracle.estimate.value, oracle.goal) == (100, 1.0, None)
    few = Bench(choices, 1, tmp_path, count=20)
    assert len(few.judged("known", _part("plain"))) == len(few.judged("oracle", _part("plain"))) == 20


def test_merged_names_are_added_before_they_are_ranked() -> None:
    draw = next(_draws(1))
    row = Judged(draw, _answer([("b", 0.4), ("a", 0.3), ("rutile", 0.3)]))
    strict, merged = view([row], "type"), view([row], "type", {"a": "rutile"})
    assert (strict.first, merged.first) == (("b",), ("rutile",))
    assert merged.probability == pytest.approx([0.6])
    assert confusions(strict)[0].given == "b"
    silent = Judged(draw, _answer([]))
    assert view([silent], "type").first == ("no answer",)
    assert not view([silent], "type").within(5).any()


def test_lanthanides_are_one_group_and_lithium_is_not_asked_for() -> None:
    draw = replace(next(_draws(1)), elements=frozenset({"Ce", "Li", "O"}))
    for metals, held in ((frozenset({LANTHANIDE_GROUP}), True), (frozenset({"Ti"}), False)):
        assert covered([Judged(draw, _answer([], metals=metals))]).tolist() == [held]


def test_calibration_coverage_and_refusal_of_known_answers(bench: Bench) -> None:
    found = calibrated(bench, [Pool("both", (_part("one"), _part("two")), Goal(high=0.03))])
    assert _figure(found, "ECE, merged").estimate.value == pytest.approx(0.0, abs=0.03)
    assert _figure(found, "ECE, merged").estimate.n == 640
    found = coverage(bench, [_part("plain")], Goal(0.94, 0.96), Goal(high=3.0))
    assert _figure(found, "coverage").estimate.value == 0.8
    assert _figure(found, "coverage").verdict == "not met"
    assert _figure(found, "mean set size").met
    foreign = {"far": _part("far", strange=8.0), "near": _part("near", marked=1.0)}
    found = refused(
        bench, Pool("t", (_part("fix"),)), Pool("own", (_part("plain"),)), foreign, Goal(high=0.05)
    )
    assert _figure(found, "true acceptance").estimate.value == pytest.approx(0.95, abs=0.02)
    assert _figure(found, "false acceptance", "far").estimate.value == 0.0
    assert _figure(found, "false acceptance", "all other chemistry").estimate.value > 0.4
    assert _figure(found, "false acceptance", "without what cannot be told apart").verdict == "met"
    assert _figure(found, "area under the ROC", "far").estimate.value > 0.999


def test_a_row_that_cannot_be_measured_says_why_and_stops_no_other(bench: Bench, tmp_path: Path) -> None:
    def missing(bench: Bench) -> Measured:
        raise PeerError("DebyeCalculator: not installed")

    def plain(bench: Bench) -> Measured:
        return ranked(bench, [Asked(_part("plain"), (Goal(low=0.7),))], Naming("type", (1,)))

    rows = [
        Row(Claim("lost", "lost | test", "90 %", "95 %", "It cannot be."), missing),
        Row(Claim("plain", "plain test", "50 %", "70 %", "As it is."), plain),
    ]
    results = list(evaluate(rows, bench))
    assert results[0].measured is None
    assert results[1].met
    page = write_report(told(results[:1], rows, bench), tmp_path / "report")
    assert "not done: plain" in page.read_text()
    page = write_report(told(results, rows, bench), tmp_path / "report")
    text = page.read_text()
    assert "DebyeCalculator: not installed" in text
    assert text.count("data:image/png;base64,") == 2
    assert "http" not in text.replace("http-equiv", "")
    document = json.loads((page.parent / "report.json").read_text())
    assert [row["met"] for row in document["rows"]] == [None, True]
    assert document["environment"]["catalogue"]
    words = (page.parent / "report.md").read_text()
    assert "lost \\| test" in words
    for picture in document["rows"][1]["pictures"]:
        assert (page.parent / "pictures" / picture).read_bytes().startswith(b"\x89PNG")
        assert f"pictures/{picture}" in words


def test_every_row_has_a_name_of_its_own_and_wrong_names_are_refused() -> None:
    keys = [row.claim.key for row in rows_of((), patterns=True)]
    assert len(set(keys)) == len(keys) >= 9
    assert "measured" not in [row.claim.key for row in rows_of((), patterns=False)]
    with pytest.raises(ChoiceError, match="did you mean 'oxides'"):
        rows_of(["oxide"], patterns=False)
    with pytest.raises(ChoiceError, match="did you mean 'filter'"):
        chosen(["fliter"])


# The matched filter


def _crystal(name: str) -> Pattern:
    """An endless crystal of the library."""
    settings = Settings(rmax=30.0, rstep=0.02, qmin=0.8, qmax=22.0, qdamp=0.03)
    curves = calculate(structure_of(Catalogue.load(own_too=False).find(name), 0.005), settings)
    conditions = Conditions(qmin=0.8, qmax=22.0, qdamp=0.03)
    return Pattern(x=curves.r.numpy(), y=curves.g.numpy(), conditions=conditions)


def test_the_matched_filter_names_what_it_is_shown_and_the_metals_that_fit() -> None:
    filter_ = MatchedFilter()
    assert isinstance(filter_, Recogniser)
    anatase = _crystal("TiO2 anatase")
    slope = Pattern(x=R, y=R + 0.01 * np.sin(7.0 * R), conditions=Conditions(qmax=20.0))
    seen, refused_ = (answer.checked() for answer in filter_.answers([anatase, slope], None))
    assert seen.types[0][0] == "anatase"
    assert seen.structures[0][0] == "TiO2 anatase"
    assert "Ti" in seen.metals
    assert seen.accepted
    assert seen.seconds > 0.0
    assert (refused_.none, refused_.accepted, refused_.types) == (1.0, False, ())
    assert refused_.strangeness > seen.strangeness


def test_the_matched_filter_uses_the_library_that_a_test_brings() -> None:
    catalogue = Catalogue.load(own_too=False)
    brought = [catalogue.find(name) for name in ("TiO2 rutile", "CeO2 fluorite")]
    (answer,) = MatchedFilter().answers([_crystal("CeO2 fluorite")], brought)
    assert {name for name, _ in answer.structures} == {"TiO2 rutile", "CeO2 fluorite"}
    assert answer.types[0][0] == "fluorite"
    assert answer.metals == {LANTHANIDE_GROUP}


# Measured patterns


def _identified(
    *candidates: tuple[str, tuple[str, ...], float], verdict: str = "identified"
) -> Identification:
    return Identification(
        verdict=verdict,  # type: ignore[arg-type]
        candidates=tuple(
            Candidate(structure=f, family=f, elements=e, probability=p, r_w=0.1, parameters={})
            for f, e, p in candidates
        ),
        r_range=(1.6, 20.0),
        pattern_sha256="0" * 64,
        model_version="test",
    )


def test_a_measured_pattern_is_judged_by_type_and_by_every_metal() -> None:
    merging = merged_types(Catalogue.load(own_too=False))
    spinel = Sample("s.gr", ("Co", "Fe", "O"), "spinel Fd-3m", True)
    right = _identified(("inverse spinel", ("Fe", "Co", "O"), 0.6), ("rutile", ("Ti", "O"), 0.4))
    found = judged(spinel, right, merging)
    assert (found.right_type, found.right_metals) == (True, True)
    half = judged(
        spinel, _identified(("rocksalt", ("Fe", "O"), 0.97), ("spinel", ("Co", "O"), 0.03)), merging
    )
    assert (half.right_type, half.right_metals, half.metals) == (True, False, ("Fe",))
    assert not judged(spinel, _identified(("rutile", ("Ti", "O"), 1.0)), merging).right_type
    assert not judged(spinel, right.model_copy(update={"verdict": "none"}), merging).right_type
    # What the recogniser states goes before what the candidates suggest.
    stated = Recognised(
        types=(("rutile", 0.5), ("none of these", 0.3), ("anatase", 0.1), ("spinel", 0.1)),
        metals=("Co", "Fe", "Ni"),
        coverage=0.95,
        strangeness=0.1,
        strange=False,
    )
    found = judged(spinel, right.model_copy(update={"recognised": stated}), merging)
    assert found.types == ("rutile", "anatase", "spinel")
    assert (found.right_type, found.right_metals) == (True, True)
    assert Sample("a.gr", ("Au",), "fcc-like", True).is_type("fcc")
    assert not Sample("k.gr", ("W",), "alpha-Keggin W12O40", True).is_type("Keggin")


def test_a_folder_of_patterns_without_its_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PatternError, match="no file"):
        samples(tmp_path)
    (tmp_path / "truth.csv").write_text("file,kind\na.gr,G(r)\n")
    with pytest.raises(PatternError, match="no column elements"):
        samples(tmp_path)
    (tmp_path / "truth.csv").write_text("file,kind,elements,structure,what_a_right_answer_says\na,I(Q),,,\n")
    with pytest.raises(PatternError, match="no pattern"):
        samples(tmp_path)


def test_the_shared_list_is_read(shared: Path) -> None:
    found = {sample.file: sample for sample in samples(shared / "patterns")}
    assert not found["c60.gr"].inside
    assert not found["cdse_bulk.gr"].inside
    assert found["ceo2_nano.gr"].metals == {LANTHANIDE_GROUP}
    assert "ni_powder.chi" not in found


@pytest.mark.slow
def test_two_processes_answer_as_one(tmp_path: Path) -> None:
    catalogue = Catalogue.load(own_too=False)
    names = ("TiO2 anatase", "CeO2 fluorite", "MgO rocksalt", "alpha-Keggin W12O40")
    settings = Settings(rmax=25.0, rstep=0.02, qmin=0.7, qmax=21.0, qdamp=0.03)

    def draws(count: int) -> Iterator[Draw]:
        for k in range(count):
            item = catalogue.item(names[k % len(names)])
            curves = calculate(structure_of(item.record, 0.004 + 0.001 * k), settings)
            conditions = Conditions(qmin=0.7, qmax=21.0, qdamp=0.03)
            pattern = Pattern(x=curves.r.numpy()[1:], y=curves.g.numpy()[1:], conditions=conditions)
            yield Draw(pattern, item.name, item.type, item.elements, None, None, {})

    def answers(processes: int) -> list[Answer]:
        bench = Bench({"network": CHOICES["network"]}, 5, tmp_path, processes=processes)
        try:
            return [
                replace(row.answer, seconds=0.0) for row in bench.judged("network", Part("a", "a", draws, 12))
            ]
        finally:
            bench.close()

    assert answers(2) == answers(1)
