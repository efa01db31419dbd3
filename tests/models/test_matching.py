"""The coarse match of metal geometries, and the shapes that training draws beside them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from solvus.models.recognition.matching import Matcher, Setting, bond_at, bond_indices
from solvus.models.recognition.training.shapes import ATOMS, FAMILIES, FEWEST, drawn_shape
from solvus.models.refinement.least_squares import f_of
from solvus.models.scattering.transform import q_grid, sine_kernel
from solvus.models.structures.library import Library

SETTING = Setting(0.8, 24.0, 0.03, 1.6, 30.0)


@pytest.mark.parametrize("name", ["icosahedron-13", "octahedron-85", "hcp-sphere-955", "bcc-sphere-25893"])
@pytest.mark.parametrize("bond", [2.25, 2.88, 3.8])
def test_curves_are_those_of_the_fit(name: str, bond: float) -> None:
    library = Library.load()
    entry, matcher = library.entry(name), Matcher(library, SETTING)
    (k,) = bond_indices(bond, bond)[:1]
    curve = matcher.curves(k, (entry,))[0]
    q = q_grid(SETTING.qmin, SETTING.qmax, SETTING.r_last + entry.span * bond_at(k))
    f = f_of(library.scattering(entry), q, bond_at(k), matcher.u, 0.0)
    exact = f @ sine_kernel(q, SETTING.r, SETTING.qdamp)
    exact /= np.linalg.norm(exact)
    assert np.linalg.norm(curve) == pytest.approx(1.0, abs=1e-5)
    assert np.linalg.norm(curve - exact) < 4e-3


def test_shapes_are_sane_and_follow_their_generator() -> None:
    families: Counter[str] = Counter()
    for seed in range(60):
        family, sites = drawn_shape(np.random.default_rng(seed))
        families[family] += 1
        assert FEWEST <= len(sites) <= 2 * ATOMS[1]
        assert np.isfinite(sites).all()
        assert pdist(sites).min() > 0.9  # in bond lengths, strained and twinned
    assert set(families) <= set(FAMILIES)
    assert len(families) >= 5
    one, other = drawn_shape(np.random.default_rng(3)), drawn_shape(np.random.default_rng(3))
    assert one[0] == other[0]
    assert np.array_equal(one[1], other[1])
