"""The live view fits a terminal, says what matters, and tells every finished experiment once."""

from __future__ import annotations

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from solvus.agent.decide import Experiment
from solvus.agent.live_view import BARS, bars, lines, render
from solvus.agent.scoring import Score
from solvus.agent.snapshot import Snapshot, found_words
from solvus.agent.states import ExperimentState as E
from solvus.models.identification import Candidate, Descriptor, Identification

RECIPE = {
    "temperature": 71.5,
    "pH": 7.612345,
    "reductant_to_gold": 4.21,
    "reaction_time": 162.0,
    "capping_agent": "citrate",
}


def identification(verdict: str = "identified") -> Identification:
    top = Candidate(
        structure="Au decahedron-1103",
        family="decahedral",
        elements=("Au",),
        probability=0.931,
        r_w=0.1234,
        parameters={},
    )
    known = verdict == "identified"
    return Identification(
        verdict=verdict,
        candidates=(top,) if known else (),
        descriptors={"diameter": Descriptor(mean=35.04, sd=0.3)} if known else {},
        r_range=(1.6, 20.0),
        pattern_sha256="0" * 64,
        model_version="1",
    )


def scored(number: int, distance: float, hit: bool = False, **more: object) -> Experiment:
    score = Score(
        trusted=True, distance_mean=distance, distance_sd=0.1, probability_within=0.9 if hit else 0.1, hit=hit
    )
    return Experiment(number, E.SCORED, RECIPE, score=score, **more)


def campaign() -> Snapshot:
    experiments = [
        scored(1, 6.5),
        Experiment(2, E.FAILED, RECIPE, cause="chemistry"),
        Experiment(3, E.FAILED, RECIPE, cause="equipment"),
        Experiment(4, E.SCORED, RECIPE, score=Score(trusted=False)),
        *(scored(n, 5.0 / n) for n in range(5, 12)),
        scored(12, 0.31, hit=True),
        scored(13, 0.42, hit=True, replicate_of=12, replicate=1),
        Experiment(14, E.SYNTHESISING, RECIPE),
    ]
    known = {e.number: identification() for e in experiments if e.score is not None and e.score.trusted}
    return Snapshot(
        "gold-decahedron-1",
        "Au decahedron-1103",
        40,
        state="waiting",
        waits_for="1 of 1 experiments under way",
        experiments=experiments,
        identifications=known | {4: identification("none")},
        devices={"robot": "busy", "diffractometer": "ready"},
    )


def shown(snapshot: Snapshot, width: int, encoding: str = "utf-8") -> str:
    console = Console(record=True, width=width, file=StringIO(), legacy_windows=False)
    console.print(render(snapshot))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_and_says_what_matters(width: int):
    text = shown(campaign(), width)
    print(text)
    assert max(map(len, text.splitlines())) <= width
    assert len(text.splitlines()) <= 24
    for word in (
        *("Au decahedron-1103", "waiting", "1 of 1 experiments under way", "14 of 40", "experiment 12, 0.31"),
        *(
            "p = 0.90",
            "robot busy",
            "diffractometer ready",
            "71.5 7.61 4.21 162",
            "0.12",
            "0.93",
            "35.0",
            "0.42",
        ),
        *("hit", "repeats 12", "synthesising", "capping_agent"),
    ):
        assert word in text, word


def test_an_empty_campaign_can_be_shown():
    text = shown(Snapshot("c-1", "Pt octahedron-586", 5), 80)
    assert "starting" in text and "0 of 5" in text and "nothing identified yet" in text


@pytest.mark.parametrize("state", list(E))
def test_every_state_can_be_shown(state: E):
    snapshot = Snapshot("c-1", "t", 5, experiments=[Experiment(1, state, {"x": 1.0})])
    assert "1 of 5" in shown(snapshot, 80)


def test_each_finished_experiment_is_told_once():
    snapshot = campaign()
    first = lines(None, snapshot)
    assert len(first) == 13
    assert first[11] == (
        "experiment 12 of 40: hit, Au decahedron-1103 (p 0.93, R_w 0.12), 35.0 Å, 0.31 tolerances from the target, "
        "within all with p = 0.90"
    )
    assert first[1] == "experiment 2 of 40: no product"
    assert first[3] == "experiment 4 of 40: not trusted, none of the library"
    assert first[12].endswith("repeats 12")
    before = snapshot.copy()
    assert lines(before, snapshot) == []
    snapshot.experiments = [*snapshot.experiments[:13], scored(14, 0.9)]
    assert [line.split(":")[0] for line in lines(before, snapshot)] == ["experiment 14 of 40"]


@given(st.lists(st.floats(0.0, 1e3), max_size=60))
def test_a_bar_for_every_value_and_smaller_values_never_stand_higher(values: list[float]):
    text = bars(values)
    assert len(text) == len(values)
    ordered = sorted(zip(values, text, strict=True), key=lambda pair: pair[0])
    heights = [BARS.index(bar) for _, bar in ordered]
    assert heights == sorted(heights)


def test_what_was_found_is_told_with_how_sure_its_identifications_are():
    experiments = [
        Experiment(n, E.SCORED, RECIPE, score=Score(trusted=True, probability_within=p, hit=p > 0.5))
        for n, p in ((3, 0.2), (7, 0.62), (8, 0.999))
    ]
    assert found_words(experiments, (7, 8)) == (
        "the target was made in experiments 7 and 8; by their identifications they are within all tolerances with "
        "p = 0.62 and p > 0.99"
    )
