"""A series comes apart into what it was made of: components that are patterns, shares that are the truth."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvus.models.pattern import Conditions, Pattern, PatternError
from solvus.models.recognition.quality import assess
from solvus.models.recognition.series import common_grid, decompose
from solvus.models.scattering.mixture import fractions_of_atoms, mixed, phases_of
from solvus.models.scattering.settings import Settings
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.record_structure import structure_of

QMAX = 22.0
HEATING = np.stack([1.0 - np.linspace(0.0, 1.0, 9), np.linspace(0.0, 1.0, 9)], axis=1)


@cache
def phases(names: tuple[str, ...]):
    catalogue = Catalogue.load(own_too=False)
    wanted = Settings(rmax=25.0, rstep=0.02, qmin=0.8, qmax=QMAX, qdamp=0.03, diameter=40.0)
    return phases_of([structure_of(catalogue.find(name), 0.006) for name in names], wanted)


def series(names: tuple[str, ...], shares: np.ndarray, noise: float = 0.0, seed: int = 0) -> list[Pattern]:
    """``noise`` as a share of max |G| per independent point."""
    made, draw, at = [], np.random.default_rng(seed), np.arange(0.0, 25.0, np.pi / QMAX)
    parts = phases(names)
    for row in shares:
        curves = mixed(parts, fractions_of_atoms(parts.compositions, list(row)))
        r, g = curves.r.numpy(), curves.g.numpy()
        white = draw.normal(size=len(at)) * noise * np.abs(g).max()
        g = g + np.sinc((r[:, None] - at) * QMAX / np.pi) @ white
        made.append(Pattern(x=r, y=g, conditions=Conditions(qmin=0.8, qmax=QMAX, qdamp=0.03)))
    return made


TITANIA = ("TiO2 anatase", "TiO2 rutile")


@pytest.mark.parametrize(("noise", "error"), [(0.0, 0.002), (0.01, 0.015), (0.03, 0.04)])
def test_anatase_becomes_rutile(noise: float, error: float) -> None:
    found = decompose(series(TITANIA, HEATING, noise))
    assert found.count == 2
    assert max(found.support, key=lambda number: found.support[number]) == 2
    assert np.abs(found.shares - HEATING).max() < error
    pure = [pattern.y for pattern in series(TITANIA, np.eye(2))]
    for component, truth in zip(found.patterns, pure, strict=True):
        beyond = component.x > 1.6
        off = np.linalg.norm((component.y - truth)[beyond]) / np.linalg.norm(truth[beyond])
        assert off < 0.005 + 4.0 * noise
        assert assess(component, (1.6, 20.0)).reasons == ()


def test_platinum_becomes_its_oxide_and_shares_are_of_the_scattering() -> None:
    """x <f_p>^2 / <f>^2 at Q = 0, which the form factors of the range keep within some per cent."""
    found = decompose(series(("Pt fcc", "PtO2 beta"), HEATING, 0.01))
    assert found.count == 2
    x = HEATING[:, 1]
    metal, oxide = 78.0, (78.0 + 2.0 * 8.0) / 3.0
    mean = (1.0 - x) * metal + x * oxide
    assert (
        np.abs(
            found.shares[:, 1]
            - x * oxide**2 / mean**2 / ((1.0 - x) * metal**2 / mean**2 + x * oxide**2 / mean**2)
        ).max()
        < 0.05
    )


def test_three_phases_that_each_have_their_moment() -> None:
    rise = np.concatenate([np.linspace(0.0, 1.0, 6), np.ones(5)])
    second = np.concatenate([np.linspace(0.0, 1.0, 6), np.linspace(0.8, 0.0, 5)])
    shares = np.stack([1.0 - rise, second, rise - second], axis=1)
    found = decompose(series(("TiO2 anatase", "TiO2 brookite", "TiO2 rutile"), shares, 0.005))
    assert found.count == 3
    assert np.abs(found.shares - shares).max() < 0.06


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05])
def test_what_does_not_change_is_one_component(noise: float) -> None:
    found = decompose(series(TITANIA, np.tile([1.0, 0.0], (6, 1)), noise))
    assert found.count == 1
    assert np.allclose(found.shares, 1.0)


def test_uncertainties_cover_the_errors() -> None:
    found = decompose(series(TITANIA, HEATING, 0.02, seed=5), 2)
    inner = slice(1, -1)  # at the corners non-negativity takes half of the errors away
    z = np.abs(found.shares - HEATING)[inner] / found.sds[inner]
    assert np.mean(z < 2.5) > 0.8


def test_errors_of_scale_are_no_component() -> None:
    factors = 1.0 + 0.1 * np.sin(np.arange(9.0) * 2.0)
    patterns = [
        p.model_copy(update={"y": p.y * factor})
        for p, factor in zip(series(TITANIA, HEATING), factors, strict=True)
    ]
    found = decompose(patterns)
    assert found.count == 2
    assert np.abs(found.shares - HEATING).max() < 0.1
    assert found.r_w.max() < 0.03


@settings(max_examples=8)
@given(st.permutations(list(range(9))))
def test_the_order_of_the_patterns_does_not_change_their_shares(order: list[int]) -> None:
    patterns = series(TITANIA, HEATING)
    found = decompose([patterns[k] for k in order], 2)
    straight = found.shares[np.argsort(order)]
    either = min(np.abs(straight - HEATING).max(), np.abs(straight[:, ::-1] - HEATING).max())
    assert either < 0.01
    assert np.allclose(found.shares.sum(axis=1), 1.0)


def test_the_answer_is_deterministic() -> None:
    patterns = series(TITANIA, HEATING, 0.01)
    one, two = decompose(patterns), decompose(patterns)
    assert np.array_equal(one.shares, two.shares)
    assert one.patterns == two.patterns
    assert one.support == two.support


def test_grids_may_differ() -> None:
    patterns = series(TITANIA, HEATING)
    coarse = [
        p if k % 2 else p.model_copy(update={"x": p.x[5::3], "y": p.y[5::3]}) for k, p in enumerate(patterns)
    ]
    r, data, _ = common_grid(coarse)
    assert r[1] - r[0] == pytest.approx(0.06)
    assert np.abs(data - common_grid(coarse[::-1])[1][::-1]).max() < 1e-9
    assert np.abs(decompose(coarse).shares - HEATING).max() < 0.01


def test_series_that_cannot_be_are_refused_in_a_sentence() -> None:
    patterns = series(TITANIA, HEATING)

    def stated(pattern: Pattern, **conditions: object) -> Pattern:
        return pattern.model_copy(update={"conditions": pattern.conditions.model_copy(update=conditions)})

    with pytest.raises(PatternError, match="at least 3"):
        decompose(patterns[:2])
    with pytest.raises(PatternError, match="X-ray and neutron"):
        decompose([*patterns[1:], stated(patterns[0], radiation="neutron")])
    with pytest.raises(PatternError, match="same Qmax"):
        decompose([*patterns[1:], stated(patterns[0], qmax=15.0)])
    short = patterns[0].model_copy(update={"x": patterns[0].x[:300], "y": patterns[0].y[:300]})
    with pytest.raises(PatternError, match="angstrom in common"):
        decompose([*patterns[1:], short])
    with pytest.raises(PatternError, match="components: 9"):
        decompose(patterns, 9)
    with pytest.raises(PatternError, match="pattern 1: holds F"):
        f = Pattern(quantity="F", x_unit="1/angstrom", x=patterns[0].x, y=patterns[0].y)
        decompose([f, *patterns])
