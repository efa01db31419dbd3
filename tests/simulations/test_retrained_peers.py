"""Peers trained again: fast curves equal the plain sum, answers are right and reproducible, models are kept."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.cluster import Decahedron, Icosahedron, Octahedron

from solvus.models.pattern import Conditions, Pattern
from solvus.models.structures.record import Record
from solvus.simulations.benchmarks.recognition import pair_sum, peer_parts
from solvus.simulations.benchmarks.recognition.answer import Answer, Recogniser
from solvus.simulations.benchmarks.recognition.bench import Bench, Part
from solvus.simulations.benchmarks.recognition.draws import Draw
from solvus.simulations.benchmarks.recognition.evaluation import REASONS
from solvus.simulations.benchmarks.recognition.fast_curves import TOLERANCE, Measurements, cluster_pdfs
from solvus.simulations.benchmarks.recognition.metal_clusters import B_PER_U, METALFINDER, MetalSetting
from solvus.simulations.benchmarks.recognition.metal_geometries import Geometry, MetalClass, record_of
from solvus.simulations.benchmarks.recognition.naming import Asked, Naming, ranked
from solvus.simulations.benchmarks.recognition.oracle import Oracle
from solvus.simulations.benchmarks.recognition.peer_parts import DENSE, SPREAD, Share, part_of_clusters
from solvus.simulations.benchmarks.recognition.peer_recipes import RECIPES, features_of, training_set
from solvus.simulations.benchmarks.recognition.recognisers import Choice, ChoiceError, chosen
from solvus.simulations.benchmarks.recognition.results import Measured
from solvus.simulations.benchmarks.recognition.retrained import MOST, Retrained, RetrainedError

R = np.arange(1501) * 0.02
QUICK = {family: replace(recipe, patterns=12, rounds=10) for family, recipe in RECIPES.items()}
SHAPES = {
    "icosahedron 2": Icosahedron("Au", 2, latticeconstant=math.sqrt(2.0)),
    "decahedron 2-2-0": Decahedron("Au", 2, 2, 0, latticeconstant=math.sqrt(2.0)),
    "octahedron 3": Octahedron("Au", 3, latticeconstant=math.sqrt(2.0)),
}


def library() -> tuple[Record, ...]:
    """Three gold clusters, and two of them in nickel."""
    made = {name: Geometry(name, name.split()[0], np.array(a.positions)) for name, a in SHAPES.items()}
    gold = [record_of(geometry, "Au", 2.68) for geometry in made.values()]
    return (*gold, *(record_of(made[name], "Ni", 2.30) for name in ("icosahedron 2", "octahedron 3")))


def patterns(seed: int = 5) -> list[Pattern]:
    """One of each cluster by the plain pair sum, without noise."""
    generator = np.random.default_rng(seed)
    found = []
    for record in library():
        limits = {
            "qmin": generator.uniform(0.0, 2.0),
            "qmax": generator.uniform(12.0, 25.0),
            "qdamp": generator.uniform(0.01, 0.04),
        }
        u_iso = generator.uniform(0.1, 1.0) / B_PER_U
        g = pair_sum.cluster_pdf(record.species, record.positions, R, **limits, u_iso=u_iso, delta2=2.0)
        found.append(Pattern(quantity="G", x=R, y=g, conditions=Conditions(**limits)))
    return found


def asked(peer: Retrained) -> list[Answer]:
    """What it says of the patterns, without the time that it took."""
    return [replace(a.checked(), seconds=0.0) for a in peer.answers(patterns(), library())]


def oxide() -> Record:
    """A small cluster of three elements without any symmetry."""
    places = np.random.default_rng(3).uniform(-4.0, 4.0, (30, 3))
    return Record("blob", "polyoxometalate", "blob", "", ("W",) * 8 + ("O",) * 21 + ("P",), places, "here")


@pytest.mark.parametrize("record", [library()[0], oxide()], ids=["metal", "oxide"])
def test_fast_curves_equal_those_of_the_plain_pair_sum(record: Record) -> None:
    generator = np.random.default_rng(1)
    limits = {"qmin": (0.0, 2.0), "qmax": (12.0, 25.0), "qdamp": (0.01, 0.04), "u_iso": (0.001, 0.013)}
    drawn = {name: generator.uniform(*ends, 20) for name, ends in limits.items()}
    r = np.arange(300) / 10.0
    fast = cluster_pdfs(record.species, record.positions, r, Measurements(**drawn), delta2=2.0)
    for k, curve in enumerate(fast):
        one = {name: float(values[k]) for name, values in drawn.items()}
        plain = pair_sum.cluster_pdf(record.species, record.positions, r, **one, delta2=2.0)
        assert np.abs(curve - plain).max() < TOLERANCE * np.abs(plain).max()


def test_curves_of_equal_displacements_need_no_polynomial() -> None:
    same = Measurements(*(np.full(3, value) for value in (0.5, 20.0, 0.03, 0.006)))
    gold = library()[0]
    fast = cluster_pdfs(gold.species, gold.positions, R, same, delta2=2.0)
    plain = pair_sum.cluster_pdf(
        gold.species, gold.positions, R, qmin=0.5, qmax=20.0, qdamp=0.03, u_iso=0.006, delta2=2.0
    )
    assert np.abs(fast - plain).max() < TOLERANCE * np.abs(plain).max()


def test_features_are_those_of_the_peers() -> None:
    pattern = patterns()[0]
    metal = features_of(RECIPES["metal"], [pattern])
    oxides = features_of(RECIPES["polyoxometalate"], [pattern])
    assert metal.shape == (1, 303) and oxides.shape == (1, 104)
    assert metal[0, 100] == pytest.approx(pattern.y[500] / pattern.y[::5][:300].max(), abs=1e-6)
    assert not oxides[0, :10].any() and oxides[0, 10:101].max() == 1.0
    limits = pattern.conditions
    assert oxides[0, -3:] == pytest.approx([limits.qmin, limits.qmax, limits.qdamp], rel=1e-6)
    unstated = pattern.model_copy(update={"conditions": Conditions()})
    assert np.isnan(features_of(RECIPES["metal"], [unstated])[0, -3:]).all()


def test_training_patterns_depend_on_the_cluster_and_its_number_only() -> None:
    first, second = library()[:2]
    recipe = QUICK["metal"]
    assert training_set(recipe, first, 0).shape == (12, 303)
    assert np.array_equal(training_set(recipe, first, 0), training_set(recipe, first, 0))
    assert not np.array_equal(training_set(recipe, first, 0), training_set(recipe, first, 1))
    assert not np.array_equal(
        training_set(recipe, first, 0)[:, :300], training_set(recipe, second, 0)[:, :300]
    )


def test_a_trained_peer_names_noise_free_patterns() -> None:
    pytest.importorskip("xgboost", reason="xgboost is not installed")
    peer = Retrained(QUICK)
    assert isinstance(peer, Recogniser)
    found = asked(peer)
    assert [a.structures[0][0] for a in found] == [record.name for record in library()]
    assert [a.types[0][0] for a in found] == [record.type for record in library()]
    assert all(sum(p for _, p in a.structures) <= 1.0 + 1e-9 for a in found)
    assert all(a.accepted and a.none == 0.0 for a in found)
    assert "Au" in found[0].metals


def test_the_same_seed_gives_the_same_answers() -> None:
    pytest.importorskip("xgboost", reason="xgboost is not installed")
    assert asked(Retrained(QUICK)) == asked(Retrained(QUICK))


def test_a_kept_model_is_used_again_and_equals_a_new_one(tmp_path: Path) -> None:
    pytest.importorskip("xgboost", reason="xgboost is not installed")
    headings: list[str] = []

    def shown(things, total, heading):
        headings.append(heading)
        return things

    def refuse(things, total, heading):
        raise AssertionError("trained again")

    first, second = Retrained(QUICK), Retrained(QUICK)
    first.equip(tmp_path, shown)
    second.equip(tmp_path, refuse)
    fresh = asked(first)
    assert [h.split(",")[1] for h in headings] == [" clusters", " rounds"]
    assert [file.suffix for file in tmp_path.iterdir()] == [".ubj"]
    assert asked(second) == fresh == asked(Retrained(QUICK))
    with pytest.raises(AssertionError, match="trained again"):
        list(second.answers(patterns(), library()[:4]))


def test_a_missing_xgboost_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(RetrainedError, match=r"xgboost: not installed.*pip install 'solvus\[bench\]'"):
        asked(Retrained(QUICK))
    assert issubclass(RetrainedError, REASONS)  # it stops its row, and no other


def test_it_takes_clusters_of_one_peer_and_not_too_many() -> None:
    peer = Retrained(QUICK)
    many = tuple(replace(library()[0], name=f"c{k}") for k in range(MOST + 1))
    foreign = replace(library()[0], family="oxide")
    assert peer.takes(library()) and peer.takes(many[:MOST])
    for other in (None, many, many[:1], (*library(), foreign), (foreign, foreign)):
        assert not peer.takes(other)
        with pytest.raises(RetrainedError, match=r"^retrained peer: "):
            list(peer.answers(patterns(), other))


def test_a_part_of_the_classes_has_its_own_library_and_the_draws_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    geometry = Geometry("octahedron 3", "octahedron", np.array(SHAPES["octahedron 3"].positions))
    metals = ("Ni", "Cu", "Pd", "Ag", "Au")
    few = tuple(MetalClass(geometry, 2.0 + 0.1 * k, (metal,)) for k, metal in enumerate(metals))
    pattern = patterns()[0]

    def whole(setting: MetalSetting, *, noise: float, seed: int, cache: Path, count: int) -> Iterator[Draw]:
        for k in range(count):
            yield Draw(pattern, few[k % 5].name, "octahedron", frozenset(few[k % 5].metals), None, None, {})

    monkeypatch.setattr(peer_parts, "classes", lambda: few)
    monkeypatch.setattr(peer_parts, "metal_clusters", whole)
    bench = Bench({}, seed=1, work=tmp_path)
    part = part_of_clusters(bench, METALFINDER, 0.0, Share("every other", slice(None, None, 2)), "clusters")
    assert part.label == "clusters, every other, noise 0 %" and part.library is not None
    names = [record.name for record in part.library()]
    assert names == ["Ni octahedron 3", "Pd octahedron 3", "Au octahedron 3"]
    assert [draw.truth for draw in part.draws(4)] == [*names, names[0]]


@pytest.mark.slow
def test_the_parts_of_the_peers_classes_are_as_described() -> None:
    assert len(SPREAD.classes) == 94 and len(DENSE.classes) == 95
    assert len({c.geometry.name for c in SPREAD.classes}) == 94
    assert len({c.geometry.name for c in DENSE.classes}) == 5


class Guesses:
    """Says the first of the library, or nothing."""

    name = "guesses"

    def answers(self, patterns: Sequence[Pattern], library: Sequence[Record] | None) -> Iterator[Answer]:
        named = ((library[0].name, 1.0),) if library else ()
        yield from (Answer(named, named, frozenset(), 0.0, True, 0.0, 0.0) for _ in patterns)


def table(bench: Bench) -> Measured:
    """Top-1 on the clusters given as a library, and on the same as shipped ones."""

    def draws(count: int) -> Iterator[Draw]:
        for record, pattern in zip(library(), patterns(), strict=True):
            yield Draw(pattern, record.name, record.type, record.elements, None, None, {})

    given = Part("given", "given", draws, 5, library)
    shipped = Part("shipped", "shipped", draws, 5)
    return ranked(bench, [Asked(given), Asked(shipped)], Naming("structure", (1,)), ("one",))


def test_a_peer_is_asked_where_it_takes_the_library_and_a_missing_one_leaves_a_remark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    choices = {
        "guesses": Choice(Guesses, "guesses"),
        "retrained": Choice(lambda: Retrained(QUICK), "trained again", partial=True),
    }
    monkeypatch.setitem(sys.modules, "xgboost", None)
    without = table(Bench(choices, 1, tmp_path))
    assert {f.recogniser for f in without.figures} == {"guesses"}
    assert without.remarks[0] == "one" and "xgboost: not installed" in without.remarks[1]
    monkeypatch.undo()
    pytest.importorskip("xgboost", reason="xgboost is not installed")
    found = {
        (f.recogniser, f.condition): f
        for f in table(Bench(choices, 1, tmp_path)).figures
        if f.name == "top-1"
    }
    assert found["retrained", "given"].estimate.value == 1.0
    assert ("retrained", "shipped") not in found and ("guesses", "shipped") in found
    assert list(tmp_path.glob("*.ubj"))


def test_a_peer_alone_is_refused() -> None:
    assert set(chosen(["filter", "retrained"])) == {"filter", "retrained"}
    with pytest.raises(ChoiceError, match="name one more"):
        chosen(["retrained"])


def test_the_oracle_knows_every_perfect_cluster_and_takes_no_crystal(tmp_path: Path) -> None:
    known = {"qmin": 0.9, "qmax": 19.0, "qdamp": 0.02, "b_iso": 0.5, "delta2": 2.0, "expansion": 0.015}
    r = np.arange(0.0, 20.0, 0.02)

    def draws(count: int) -> Iterator[Draw]:
        limits = {name: known[name] for name in ("qmin", "qmax", "qdamp")}
        for record in library()[:count]:
            u_iso, places = known["b_iso"] / B_PER_U, 1.015 * record.positions
            g = pair_sum.cluster_pdf(record.species, places, r, **limits, u_iso=u_iso, delta2=2.0)
            pattern = Pattern(x=r, y=g, conditions=Conditions(**limits))
            yield Draw(pattern, record.name, record.type, record.elements, None, None, known)

    choices = {"guesses": Choice(Guesses, "guesses"), "oracle": Choice(Oracle, "the bound", partial=True)}
    bench = Bench(choices, seed=1, work=tmp_path)
    part = Part("given", "given", draws, 5, library)
    assert bench.names_for(part) == ("guesses", "oracle")
    rows = bench.judged("oracle", part)
    assert [row.answer.structures[0][0] for row in rows] == [row.draw.truth for row in rows]
    assert all(row.answer.structures[0][1] > 0.999 for row in rows)
    assert bench.names_for(replace(part, key="shipped", library=None)) == ("guesses",)
