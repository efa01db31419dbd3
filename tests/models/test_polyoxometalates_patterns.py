"""Polyoxometalates told apart by their patterns: the identities among themselves, and on a measured one."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import least_squares

from solvus.models.pattern_files import read_gr
from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.structure import cluster
from solvus.models.structures.polyoxometalates.catalogue import IDENTITIES, record_of
from solvus.models.structures.polyoxometalates.identity import Identity
from solvus.models.structures.record import Floats, Record

RANGE = (1.6, 20.0)
"""angstrom, as in the README of the measured patterns."""
STEP = 0.05
SMALL_NOISE = 0.05
"""R_w of a good measurement of a cluster in solution."""


@pytest.fixture(scope="module")
def tungstates() -> list[Record]:
    """One compound of each type: without heteroatom where there is one, else the first."""
    chosen: dict[str, tuple[Identity, str]] = {}
    for identity in IDENTITIES:
        if "W" in identity.members and not identity.hypothetical:
            without = "" in identity.members["W"]
            if without or identity.type not in chosen:
                chosen[identity.type] = identity, identity.members["W"][0]
    return [record_of(identity, "W", hetero) for identity, hetero in chosen.values()]


def _curve(record: Record, expansion: float, u_metal: float, u_other: float, delta2: float) -> Floats:
    u = np.where(np.array(record.species) == "W", u_metal, u_other)
    atoms = cluster(record.species, record.positions * (1.0 + expansion), u_iso=u)
    settings = Settings(rmin=RANGE[0], rmax=RANGE[1], rstep=STEP, qmin=0.7, qmax=20.0, delta2=delta2)
    curve: Floats = calculate(atoms, settings).g.numpy()
    return curve


def _left(curve: Floats, observed: Floats) -> Floats:
    """What the best scale leaves, over the norm of what is observed."""
    rest: Floats = (curve @ observed / (curve @ curve) * curve - observed) / np.linalg.norm(observed)
    return rest


def _r_w(record: Record, observed: Floats) -> float:
    """Of the fit of scale, expansion, u of tungsten and of the rest, and delta2."""
    fit = least_squares(
        lambda p: _left(_curve(record, *p), observed),
        (-0.005, 0.01, 0.01, 2.0),
        bounds=([-0.05, 5e-4, 1e-3, 0.0], [0.05, 0.05, 0.1, 6.0]),
        x_scale=(0.01, 0.003, 0.01, 1.0),
    )
    return float(np.linalg.norm(fit.fun))


def test_tungstates_of_different_types_have_different_patterns(tungstates: list[Record]) -> None:
    tries = [(e, u) for e in np.arange(-0.03, 0.031, 0.005) for u in (0.7, 1.0, 1.4)]
    curves = [[_curve(record, e, 0.004 * u, 0.01 * u, 2.0) for e, u in tries] for record in tungstates]
    plain = [_curve(record, 0.0, 0.004, 0.01, 2.0) for record in tungstates]
    for i, j in combinations(range(len(tungstates)), 2):
        nearest = min(float(np.linalg.norm(_left(curve, plain[i]))) for curve in curves[j])
        assert nearest > SMALL_NOISE, (tungstates[i].name, tungstates[j].name)


@pytest.mark.slow
def test_the_measured_keggin_ion_is_a_whole_alpha_keggin_ion(tungstates: list[Record], shared: Path) -> None:
    pattern = read_gr(shared / "patterns" / "alpha_keggin.gr")
    r = np.arange(round(RANGE[0] / STEP), round(RANGE[1] / STEP)) * STEP
    observed = np.interp(r, pattern.x, pattern.y)
    found = sorted((_r_w(record, observed), record.name) for record in tungstates)
    assert found[0][1] == "alpha-Keggin W12O40"
    assert found[0][0] < 0.28
    assert found[1][0] > found[0][0] + 0.08
