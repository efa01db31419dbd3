"""The gate: what is no G(r), or not one in angstrom, gets a reason that names the fix; every G(r) passes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solvus.models.pattern import Conditions, Pattern, PatternError
from solvus.models.pattern_files import read_gr, write_gr
from solvus.models.recognition.quality import assess
from solvus.models.scattering.bulk import ConditionRanges, simulate_bulk
from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.settings import Settings
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.record_structure import structure_of

RANGE = (1.6, 20.0)
STATED = Conditions(qmin=0.8, qmax=22.0, qdamp=0.03)
UNKNOWN = Conditions()
NAMES = (
    "TiO2 anatase",
    "NiO rocksalt",
    "CeO2 fluorite",
    "MnV2O4 spinel",
    "Au icosahedron-309",
    "Ni fcc",
    "alpha-Keggin PW12O40",
)


@cache
def simulated(name: str, radiation: str = "xray", diameter: float | None = 30.0) -> Pattern:
    structure = structure_of(Catalogue.load(own_too=False).find(name), 0.006)
    settings = Settings(
        rmax=40.0,
        rstep=0.02,
        qmin=STATED.qmin,
        qmax=STATED.qmax,
        qdamp=STATED.qdamp,
        radiation=radiation,
        diameter=diameter if structure.lattice is not None else None,
    )
    curves = calculate(structure, settings)
    conditions = STATED.model_copy(update={"radiation": radiation})
    return Pattern(x=curves.r.numpy(), y=curves.g.numpy(), conditions=conditions)


def changed(pattern: Pattern, x: np.ndarray, y: np.ndarray, **conditions: object) -> Pattern:
    stated = Conditions(**{**pattern.conditions.model_dump(), **conditions})
    return Pattern(x=x, y=y, conditions=stated)


def noise(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=length)


def function_of_q(pattern: Pattern) -> tuple[np.ndarray, np.ndarray]:
    """F(Q) of a pattern, from the sine transform of its G(r)."""
    q = np.arange(0.8, 22.0, 0.02)
    step = pattern.x[1] - pattern.x[0]
    return q, np.sin(np.outer(q, pattern.x)) @ pattern.y * step


def a_histogram(p: Pattern) -> Pattern:
    weight = np.where(p.x > 1.3, np.maximum(p.y, 0.0) * p.x, 0.0)
    return changed(p, p.x, np.random.default_rng(1).poisson(weight / weight.sum() * 3000.0).astype(float))


def band_noise(p: Pattern) -> Pattern:
    """What is left of errors in Q without a structure."""
    q = np.arange(0.8, 22.0, 0.05)
    return changed(p, p.x, np.sin(np.outer(p.x, q)) @ (noise(len(q), 4) * q))


FAULTS: dict[str, tuple[Callable[[Pattern], Pattern], str]] = {
    "nanometres": (lambda p: changed(p, p.x / 10.0, p.y * 100.0), "multiply r by 10"),
    "nanometres to 10 nm": (
        lambda p: changed(p, np.arange(0.01, 10.0, 0.004), np.sin(180.0 * np.arange(0.01, 10.0, 0.004))),
        "multiply r by 10",
    ),
    "picometres": (lambda p: changed(p, p.x * 100.0, p.y / 1e4), "divide r by 100"),
    "qmax in 1/nm": (lambda p: changed(p, p.x, p.y, qmax=100.0), "divide it by 10"),
    "qmax a tenth": (lambda p: changed(p, p.x, p.y, qmax=2.2), "correct qmax"),
    "qmax too low": (lambda p: changed(p, p.x, p.y, qmax=9.0), "correct qmax"),
    "S(Q) with its range": (
        lambda p: changed(p, function_of_q(p)[0], 1.0 + function_of_q(p)[1] / function_of_q(p)[0]),
        "function of Q",
    ),
    "F(Q) with its range": (lambda p: changed(p, *function_of_q(p)), "function of Q"),
    "S(Q)": (
        lambda p: Pattern(x=function_of_q(p)[0], y=1.0 + function_of_q(p)[1] / function_of_q(p)[0]),
        "tends to 1",
    ),
    "I(Q)": (
        lambda p: Pattern(
            x=function_of_q(p)[0],
            y=50.0
            + 2000.0
            * np.exp(-function_of_q(p)[0] / 5.0)
            * np.maximum(0.1, 1.0 + function_of_q(p)[1] / function_of_q(p)[0]),
        ),
        "intensity",
    ),
    "g(r)": (
        lambda p: changed(
            p,
            p.x,
            np.where(p.x < 1.4, 0.0, 1.0 + p.y / (4.0 * np.pi * 0.09 * np.maximum(p.x, 0.1))),
        ),
        "4 pi rho r (g(r) - 1)",
    ),
    "R(r)": (
        lambda p: changed(p, p.x, p.x * p.y + 4.0 * np.pi * 0.09 * p.x**2),
        "R(r) / r - 4 pi rho r",
    ),
    "T(r)": (lambda p: changed(p, p.x, p.y + 4.0 * np.pi * 0.09 * p.x), "subtract 4 pi rho r"),
    "offset": (lambda p: changed(p, p.x, p.y + 0.5 * p.y.std()), "does not oscillate about zero"),
    "slow background": (
        lambda p: changed(p, p.x, p.y + 4.0 * p.y.std() * np.sin(0.35 * p.x)),
        "background",
    ),
    "decaying background": (
        lambda p: changed(p, p.x, p.y + 20.0 * p.y.std() * np.exp(-p.x / 4.0)),
        "background",
    ),
    "histogram": (a_histogram, "histogram"),
    "constant": (lambda p: changed(p, p.x, np.full_like(p.y, 3.3)), "flat"),
    "white noise": (lambda p: changed(p, p.x, noise(len(p.x))), "noise"),
    "noise in Q": (band_noise, "noise"),
    "starts late": (lambda p: changed(p, p.x[200:], p.y[200:]), "starts at r = 4"),
    "ends early": (lambda p: changed(p, p.x[:330], p.y[:330]), "covers only"),
    "padded": (lambda p: changed(p, p.x, np.where(p.x > 6.0, 0.0, p.y)), "beyond it is zero"),
    "gap": (
        lambda p: changed(p, np.delete(p.x, slice(350, 450)), np.delete(p.y, slice(350, 450))),
        "gap from r = 6.98 to 9",
    ),
    "gap filled": (lambda p: changed(p, p.x, np.where((p.x > 6) & (p.x < 9), p.y[300], p.y)), "stays at"),
    "clipped": (lambda p: changed(p, p.x, np.minimum(p.y, 0.5 * p.y.max())), "clipped"),
}


WARM = ("qmax too low", "TiO2 anatase")
"""So warm that little stands above 9 1/angstrom, and the fault does no harm."""


@pytest.mark.parametrize(
    ("fault", "name"),
    [(fault, name) for fault in FAULTS for name in ("TiO2 anatase", "Ni fcc") if (fault, name) != WARM],
)
def test_every_fault_has_a_reason_with_its_fix(fault: str, name: str) -> None:
    spoil, words = FAULTS[fault]
    (reason,) = assess(spoil(simulated(name)), RANGE).reasons
    assert words in reason
    assert len(reason) < 260


@pytest.mark.parametrize("radiation", ["xray", "neutron"])
@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_structure_passes(name: str, radiation: str) -> None:
    for diameter in (10.0, 30.0, None):
        assert assess(simulated(name, radiation, diameter), RANGE).reasons == ()


def test_measured_patterns_pass_with_and_without_their_header(shared: Path) -> None:
    for path in sorted((shared / "patterns").glob("*.gr")):
        pattern = read_gr(path)
        assert assess(pattern, RANGE).reasons == (), path.name
        stripped = pattern.model_copy(update={"conditions": UNKNOWN})
        assert assess(stripped, RANGE).reasons == (), path.name


def drawn(items: list[object], seed: int, *, noisy: bool) -> list[Pattern]:
    """One pattern of each structure under drawn conditions, with the errors of counting or with 3 % of white noise."""
    rng, found = np.random.default_rng(seed), []
    for number, item in enumerate(items):
        record = item.record
        ranges = ConditionRanges(
            qmin=(0.3, 1.5),
            qmax=(10.0, 28.0),
            diameter=(10.0, 60.0) if record.periodic and number % 4 else None,
            u_iso=(0.002, 0.015),
            seed=seed + number,
            **({} if noisy else {"noise": None}),
        )
        grid = Settings(rmax=30.0, rstep=0.04, radiation="neutron" if number % 3 == 0 else "xray")
        made = simulate_bulk([structure_of(record)], 1, ranges, grid)
        g = made.g[0].numpy().astype(float)
        if not noisy:
            g = g + 0.03 * np.abs(g).max() * rng.normal(size=len(g))
        stated = {name: float(made.conditions[name][0]) for name in ("qmin", "qmax", "qdamp")}
        found.append(
            Pattern(
                x=made.r.numpy().astype(float),
                y=g,
                conditions=Conditions(radiation=grid.radiation, **stated),
            )
        )
    return found


@pytest.mark.parametrize("noisy", [True, False])
@pytest.mark.parametrize("share", [60, pytest.param(5, marks=pytest.mark.slow)])
def test_no_simulated_pattern_of_the_library_is_refused(share: int, noisy: bool) -> None:
    """Oxides, polyoxometalates and metals, X-rays and neutrons, 1 nm to bulk, Qmax 10 to 28."""
    torch.set_num_threads(1)
    items = [i for i in Catalogue.load(own_too=False).items if i.n_atoms <= 120 and "Ac" not in i.elements]
    refused = [
        (pattern.conditions, assess(pattern, RANGE).reasons)
        for pattern in drawn(items[::share], 11, noisy=noisy)
        if assess(pattern, RANGE).reasons
    ]
    assert refused == []


def test_particles_with_their_small_angle_scattering_pass_when_qmin_says_so() -> None:
    structure = structure_of(Catalogue.load(own_too=False).find("Au icosahedron-309"), 0.006)
    curves = calculate(structure, Settings(rmax=30.0, rstep=0.02, qmin=0.0, qmax=20.0))
    stated = Pattern(x=curves.r.numpy(), y=curves.g.numpy(), conditions=Conditions(qmin=0.0, qmax=20.0))
    assert assess(stated, RANGE).reasons == ()
    (reason,) = assess(stated.model_copy(update={"conditions": Conditions(qmax=20.0)}), RANGE).reasons
    assert "state its qmin" in reason


@settings(max_examples=40)
@given(factor=st.floats(1e-4, 1e4), name=st.sampled_from(NAMES))
def test_the_scale_of_g_does_not_matter(factor: float, name: str) -> None:
    pattern = simulated(name)
    scaled = assess(changed(pattern, pattern.x, pattern.y * factor), RANGE)
    assert scaled.reasons == ()
    assert scaled.qmax == assess(pattern, RANGE).qmax


@settings(max_examples=40)
@given(share=st.floats(0.0, 0.03), seed=st.integers(0, 1000), name=st.sampled_from(NAMES))
def test_noise_to_three_per_cent_passes(share: float, seed: int, name: str) -> None:
    pattern = simulated(name)
    spoilt = pattern.y + share * np.abs(pattern.y).max() * noise(len(pattern.y), seed)
    assert assess(changed(pattern, pattern.x, spoilt), RANGE).reasons == ()


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), known=st.booleans())
def test_noise_alone_is_never_a_pattern(seed: int, known: bool) -> None:
    x = np.arange(0.0, 30.0, 0.02)
    (reason,) = assess(
        Pattern(x=x, y=noise(len(x), seed), conditions=STATED if known else UNKNOWN), RANGE
    ).reasons
    assert "noise" in reason


@settings(max_examples=40)
@given(
    x=st.floats(0.0, 5.0), step=st.floats(1e-3, 5.0), seed=st.integers(0, 100), offset=st.floats(-5.0, 5.0)
)
def test_any_curve_is_judged_without_an_error(x: float, step: float, seed: int, offset: float) -> None:
    """Nothing, however strange, breaks the gate, and what it says is one sentence."""
    points = x + step * np.arange(40 + seed)
    for y in (noise(len(points), seed) + offset, np.round(noise(len(points), seed)), points**2 - offset):
        quality = assess(Pattern(x=points, y=y), RANGE)
        assert all("\n" not in reason and len(reason) < 300 for reason in quality.reasons)


def test_a_function_of_q_without_a_header_is_at_least_doubted() -> None:
    """It cannot be told: reciprocal lattices are lattices."""
    q, f = function_of_q(simulated("Ni fcc"))
    assert any("if it is Q" in remark for remark in assess(Pattern(x=q, y=f), RANGE).remarks)
    r, g = simulated("Ni fcc").x, simulated("Ni fcc").y
    assert not any("if it is Q" in remark for remark in assess(Pattern(x=r, y=g), RANGE).remarks)


def test_uneven_steps_are_judged_as_even_ones() -> None:
    pattern = simulated("Ni fcc")
    x = pattern.x + 0.004 * np.sin(pattern.x * 3.0)
    uneven = changed(pattern, x, np.interp(x, pattern.x, pattern.y))
    assert assess(uneven, RANGE).reasons == ()


@pytest.mark.parametrize(("field", "words"), [("5.0  nan", "NaN or infinite"), ("qmax = 220.0", "qmax")])
def test_a_file_with_nan_or_an_impossible_qmax_is_refused_in_a_sentence(
    tmp_path: Path, field: str, words: str
) -> None:
    path = tmp_path / "nickel.gr"
    write_gr(simulated("Ni fcc"), path)
    lines = path.read_text().splitlines()
    row = next(k for k, line in enumerate(lines) if line.startswith(field[:4]))
    lines[row] = field
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(PatternError, match=words) as caught:
        read_gr(path)
    assert "\n" not in str(caught.value)
    assert "nickel.gr" in str(caught.value)


@pytest.mark.parametrize("qmin", [0.3, 0.5, 0.8])
def test_the_hump_of_an_ion_as_large_as_the_range_is_no_background(qmin: float) -> None:
    """Small ions to 10 angstrom, with a Qmin that lets their small-angle scattering in."""
    for name in ("alpha-Keggin PW12O40", "Lindqvist W6O19"):
        structure = structure_of(Catalogue.load(own_too=False).find(name), 0.006)
        curves = calculate(structure, Settings(rmax=10.0, rstep=0.02, qmin=qmin, qmax=18.0, qdamp=0.03))
        stated = Conditions(qmin=qmin, qmax=18.0, qdamp=0.03)
        pattern = Pattern(x=curves.r.numpy(), y=curves.g.numpy(), conditions=stated)
        assert assess(pattern, RANGE).reasons == ()
