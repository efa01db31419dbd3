"""The Debye sum against reference engines, against the direct O(N^2) sum, and under the symmetries of
physics."""

from __future__ import annotations

import json
import math
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.cluster import Icosahedron, Octahedron
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from solvus.models.scattering.debye import (
    PairHistogram,
    StructureError,
    mixture,
    pair_histogram,
    pdf,
    structure_factor,
)
from solvus.models.scattering.form_factors import ElementError

Q = np.linspace(0.5, 30.0, 400)


def direct(positions: np.ndarray, q: np.ndarray, u: float, s: float = 1.0, delta2: float = 0.0) -> np.ndarray:
    d = pdist(positions) * s
    narrowed = np.maximum(0.0, 1.0 - delta2 / d**2 * (d <= 10.0))
    return np.array(
        [2 / len(positions) * (np.sin(x * d) / d * np.exp(-u * narrowed * x * x)).sum() for x in q]
    )


def test_equals_the_direct_sum() -> None:
    positions = Icosahedron("Au", 5).positions
    histogram = pair_histogram(positions)
    for u, s, delta2 in [(0.0, 1.0, 0.0), (0.004, 1.03, 0.0), (0.006, 0.97, 3.0)]:
        _, f = structure_factor(histogram, Q, u_iso=u, expansion=s, delta2=delta2)
        expected = direct(positions, Q, u, s, delta2)
        assert np.abs(f.numpy() - expected).max() < 2e-5 * np.abs(expected).max()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_rotation_translation_and_order_of_atoms_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = Octahedron("Pt", 4, 1).positions
    positions = base + rng.normal(0, 0.05, base.shape)
    symbols = rng.choice(["Pt", "Ni"], len(positions))
    order = rng.permutation(len(positions))
    moved = Rotation.random(random_state=seed % 2**31).apply(positions)[order] + rng.uniform(-50, 50, 3)
    _, f = structure_factor(pair_histogram(positions, symbols.tolist()), Q, u_iso=0.003)
    _, g = structure_factor(pair_histogram(moved, symbols[order].tolist()), Q, u_iso=0.003)
    assert float((f - g).abs().max()) < 1e-5 * float(f.abs().max())


def test_two_far_copies_look_like_one() -> None:
    one = Icosahedron("Au", 3).positions
    both = np.vstack([one, one + np.array([70.0, 0.0, 0.0])])
    q, r = np.arange(0.5, 25.0, 0.01), np.arange(1.0, 30.0, 0.02)
    g1, g2 = (pdf(q, structure_factor(pair_histogram(p), q, u_iso=0.005)[1], r) for p in (one, both))
    assert float((g1 - g2).abs().max()) < 0.01 * float(g1.abs().max())


def test_high_q_tends_to_one_and_low_q_to_n() -> None:
    histogram = pair_histogram(Icosahedron("Au", 4).positions)
    s, f = structure_factor(histogram, [0.0, 0.01, 45.0], u_iso=0.02)
    assert s[0] == pytest.approx(147.0, rel=1e-9)
    assert s[1] == pytest.approx(147.0, rel=1e-2)
    assert s[2] == pytest.approx(1.0, abs=1e-6)
    assert f[0] == 0.0


def test_one_element_needs_no_name_and_an_alloy_of_equals_is_the_element() -> None:
    positions = Icosahedron("Au", 3).positions
    _, bare = structure_factor(pair_histogram(positions), Q, u_iso=0.005)
    _, named = structure_factor(pair_histogram(positions, ["Au"] * 55), Q, u_iso=0.005)
    _, light = structure_factor(pair_histogram(positions, ["Al"] * 55), Q, u_iso=0.005)
    assert torch.equal(bare, named)
    assert torch.equal(bare, light)


def test_batches_equal_single_calls() -> None:
    histograms = [pair_histogram(Icosahedron("Au", n).positions) for n in (2, 3)]
    u, s = torch.tensor([0.003, 0.006]), torch.tensor([1.0, 1.02])
    _, many = structure_factor(histograms, Q, u_iso=u, expansion=s)
    for i in range(2):
        _, one = structure_factor(histograms[i], Q, u_iso=float(u[i]), expansion=float(s[i]))
        assert torch.allclose(many[i], one, atol=1e-12)
    _, several = structure_factor(histograms[0], Q, u_iso=0.005, expansion=s)
    assert several.shape == (2, len(Q))


def test_gradients_agree_with_differences() -> None:
    histogram = pair_histogram(Icosahedron("Au", 3).positions)
    u = torch.tensor(0.005, dtype=torch.float64, requires_grad=True)
    s = torch.tensor(1.01, dtype=torch.float64, requires_grad=True)
    (structure_factor(histogram, Q, u_iso=u, expansion=s)[1] ** 2).sum().backward()

    def total(u_iso: float, expansion: float) -> float:
        return float((structure_factor(histogram, Q, u_iso=u_iso, expansion=expansion)[1] ** 2).sum())

    assert float(u.grad) == pytest.approx((total(0.005001, 1.01) - total(0.004999, 1.01)) / 2e-6, rel=1e-4)
    assert float(s.grad) == pytest.approx((total(0.005, 1.010001) - total(0.005, 1.009999)) / 2e-6, rel=1e-4)


def test_the_transform_is_the_integral() -> None:
    q, r = np.linspace(0.0, 20.0, 4001), np.array([1.0, 2.5, 7.0])
    f = torch.from_numpy(np.exp(-0.1 * q**2) * q)
    exact = 2 / math.pi * math.sqrt(math.pi) * r / (4 * 0.1**1.5) * np.exp(-(r**2) / 0.4)
    assert pdf(q, f, r).numpy() == pytest.approx(exact, abs=1e-6)
    assert pdf(q, f, r, qdamp=0.1).numpy() == pytest.approx(exact * np.exp(-0.005 * r**2), abs=1e-6)


def test_a_mixture_is_weighted_by_atoms() -> None:
    a, b = Icosahedron("Au", 2).positions, Icosahedron("Au", 3).positions
    apart = np.vstack([a, b + np.array([5000.0, 0.0, 0.0])])
    f = structure_factor([pair_histogram(a), pair_histogram(b)], Q, u_iso=0.005)[1]
    joined = structure_factor(pair_histogram(apart, step=0.01), Q, u_iso=0.005)[1]
    assert float((mixture(f, [13, 55]) - joined).abs().max()) < 2e-2 * float(joined.abs().max())


@pytest.mark.parametrize(
    ("positions", "symbols", "words"),
    [
        (np.zeros((0, 3)), None, "n >= 1"),
        (np.zeros((4, 2)), None, "n >= 1"),
        (np.zeros((2, 3)), None, "coincide"),
        (np.array([[0.0, 0, 0], [np.nan, 0, 0]]), None, "atom 1"),
        (np.eye(3) * 3, ["Au"], "one for each"),
    ],
)
def test_what_is_no_structure_is_refused(
    positions: np.ndarray, symbols: list[str] | None, words: str
) -> None:
    with pytest.raises(StructureError, match=words):
        pair_histogram(positions, symbols)


def test_an_unknown_element_is_named() -> None:
    with pytest.raises(ElementError, match="Xx"):
        pair_histogram(np.eye(3) * 3, ["Au", "Xx", "Au"])


def _golden(case: dict[str, Any]) -> tuple[PairHistogram, float]:
    structure = case["structure"]
    return pair_histogram(structure["xyz"], structure["elements"]), structure["Uiso"][0]


def _usable(case: dict[str, Any]) -> bool:
    """Clusters of one u and full occupancy, with every pair inside srreal's sum."""
    if case["calculator"] != "diffpy.srreal.DebyePDFCalculator":
        return False
    structure, parameters, derived = case["structure"], case["parameters"], case["derived"]
    return (
        set(structure["occupancy"]) == {1.0}
        and len(set(structure["Uiso"])) == 1
        and parameters["delta1"] == parameters["delta2"] == parameters["qbroad"] == 0.0
        and derived["extendedrmin"] == 0.0
        and pdist(structure["xyz"]).max() < derived["extendedrmax"]
    )


def test_agrees_with_srreal(shared: Path) -> None:
    cases = json.loads((shared / "golden" / "index.json").read_text())["cases"]
    curves = np.load(shared / "golden" / "curves.npz")
    tried = 0
    for name, case in cases.items():
        if not _usable(case):
            continue
        histogram, u = _golden(case)
        q, expected = curves[f"{name}__Q"], curves[f"{name}__F"]
        _, f = structure_factor(histogram, q, u_iso=u, radiation=case["radiation"])
        tolerance = 1e-5 if case["radiation"] == "xray" or len(histogram.elements) == 1 else 5e-3
        assert np.abs(f.numpy() - expected).max() < tolerance * np.abs(expected).max(), name
        tried += 1
    assert tried >= 15


def test_agrees_with_debyecalculator(shared: Path) -> None:
    """DebyeCalculator's S, F and G are half of ours by its convention."""
    index = json.loads((shared / "golden" / "debyecalculator_index.json").read_text())
    cases = json.loads((shared / "golden" / "index.json").read_text())["cases"]
    curves = np.load(shared / "golden" / "debyecalculator.npz")
    tried = 0
    for name, entry in index.items():
        if name not in cases or not name.endswith("_x") or f"{name}__dc_f" not in curves:
            continue
        histogram, _ = _golden(cases[name])
        u = entry["parameters"]["biso"] / (8 * math.pi**2)
        _, f = structure_factor(histogram, curves[f"{name}__dc_q"], u_iso=u)
        expected = 2 * curves[f"{name}__dc_f"]
        assert np.abs(f.numpy() - expected).max() < 1e-5 * np.abs(expected).max(), name
        tried += 1
    assert tried >= 8


@pytest.mark.slow
def test_thirty_thousand_atoms_fit_in_memory() -> None:
    positions = Icosahedron("Au", 21).positions
    assert len(positions) > 28_000
    tracemalloc.start()
    start = time.perf_counter()
    histogram = pair_histogram(positions)
    assert time.perf_counter() - start < 120
    assert tracemalloc.get_traced_memory()[1] < 1e9
    tracemalloc.stop()
    total = histogram.weights.sum()
    assert total == pytest.approx(len(positions) * (len(positions) - 1), rel=1e-9)
