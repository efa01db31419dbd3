"""Packings and constructions: pieces of real crystals and twins, each written in one way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from solvus.models.latent.construction import DEEPEST, Construction, ConstructionError
from solvus.models.latent.growth import relatives, resized
from solvus.models.latent.packings import PACKINGS, places_of, sites
from solvus.models.latent.particle import Particle
from solvus.models.latent.physical import physical
from solvus.models.latent.training.drawn import drawn
from solvus.models.structures.clusters import all_clusters, lattice_sphere, unit_positions
from solvus.models.structures.library import Library
from solvus.simulations.benchmarks.recognition.metal_geometries import geometries

HCP = "h" * (2 * DEEPEST + 2)
FCC = "c" * (2 * DEEPEST + 2)


@pytest.mark.parametrize("stride", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_every_geometry_of_the_peer_is_a_construction(stride: int) -> None:
    """Seven families, 197 geometries: each from its own heights about its centre."""
    missed = [g.name for g in geometries()[::stride] if not _written(g.kind, g.positions, g.n_atoms)]
    assert missed == []


def _written(kind: str, positions: np.ndarray, n_atoms: int) -> bool:
    name = {
        "octahedron": "fcc",
        "hcp": "layers",
        "icosahedron": "icosahedral",
        "decahedron": "decahedral",
    }.get(kind, kind)
    packing = PACKINGS[name]
    x = positions - positions.mean(axis=0)
    if kind == "decahedron":
        x = x @ np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # one corner lies on x here
    elif kind != "icosahedron":
        x = x / pdist(x).min()
    wanted = np.sort(pdist(unit_positions(positions)))
    turns = [math.radians(30.0 * k) for k in range(6)] if packing.layered else [0.0]
    for angle, centre in itertools.product(turns, packing.centres):
        turn = np.array(
            [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
        )
        heights = packing.heights(x @ turn.T).max(axis=0)
        for order in itertools.permutations(packing.alike) if packing.layered else [packing.alike]:
            limits = heights.copy()
            limits[list(packing.alike)] = heights[list(order)]
            made = Construction(name, centre, tuple(limits + 1e-3), letters=HCP if packing.layered else "")
            if made.n_atoms == n_atoms and np.abs(np.sort(pdist(made.positions)) - wanted).max() < 5e-3:
                return True
    return False


@pytest.mark.parametrize(("packing", "family"), [("fcc", "fcc"), ("bcc", "bcc"), ("sc", "sc")])
def test_crystals_are_those_of_the_library(packing: str, family: str) -> None:
    ours = np.sort(np.linalg.norm(sites(packing, np.zeros(3), 3.3), axis=1))
    theirs = np.sort(np.linalg.norm(lattice_sphere(family, 3.3), axis=1))
    assert ours == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("letters", "family"), [(FCC, "fcc"), (HCP, "hcp")])
def test_layers_are_fcc_or_hcp(letters: str, family: str) -> None:
    found = sites("layers", np.zeros(3), 3.3, lambda layer: letters[layer + DEEPEST])
    assert np.sort(pdist(found)) == pytest.approx(np.sort(pdist(lattice_sphere(family, 3.3))), abs=1e-9)


def test_a_letter_turns_the_stacking() -> None:
    assert places_of(-2, 3, lambda layer: "c") == {-2: 1, -1: 2, 0: 0, 1: 1, 2: 2, 3: 0}
    assert places_of(-2, 3, lambda layer: "h") == {-2: 0, -1: 1, 0: 0, 1: 1, 2: 0, 3: 1}
    assert places_of(-1, 2, lambda layer: "h" if layer == 0 else "c") == {-1: 1, 0: 0, 1: 1, 2: 2}


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_drawn_particles_are_whole_and_tight(seed: int) -> None:
    found = drawn(np.random.default_rng((7, seed)))
    assert found.n_atoms == len(found.tight.sites)
    assert found.same(found.tight)
    check = physical(found.positions)
    assert check.nearest > 0.85
    assert "pieces" not in " ".join(check.faults)


@given(st.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
def test_relatives_are_others_nearby(seed: int) -> None:
    found = drawn(np.random.default_rng((9, seed)))
    if found.n_atoms > 400:
        return
    particle = Particle.of(found)
    near = relatives(particle)
    assert near
    assert particle.key not in {other.key for other in near}
    assert all(pdist(other.positions).min() > 0.8 for other in near if other.n_atoms > 1)


def test_sizes_of_one_shape_are_its_magic_numbers() -> None:
    """Icosahedra of whole shells."""
    heights = (math.inf, 3.0, math.inf)
    numbers = {c.n_atoms for c in resized(Construction("icosahedral", "atom", heights))}
    assert {55, 147, 309} <= numbers


def test_the_key_tells_structures_apart() -> None:
    keys: dict[tuple[int, int, int], str] = {}
    held = {entry.name for entry in Library.load().entries}  # a structure may have two names, not two entries
    for cluster in all_clusters():
        if cluster.n_atoms <= 1000 and cluster.name in held:
            construction = Construction("fcc", "atom", (1.0,) * 6)
            key = Particle(construction, cluster.build()).key
            assert keys.setdefault(key, cluster.name) == cluster.name


def test_what_no_face_closes_is_refused() -> None:
    with pytest.raises(ConstructionError, match="no face of fcc closes"):
        _ = Construction("fcc", "atom", (math.inf,) * 6).sites


def test_thirty_thousand_atoms_are_made() -> None:
    found = Construction("icosahedral", "atom", (math.inf, 20.0, math.inf))
    assert found.n_atoms == 28_741  # 21 shells: (10 n^3 - 15 n^2 + 11 n - 3) / 3
