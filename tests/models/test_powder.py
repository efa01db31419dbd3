"""Powder lines against a reference program, and against geometry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.spacegroup import crystal as build

from solvus.models.scattering.powder import (
    Profile,
    Reflections,
    intensity_q,
    intensity_two_theta,
    lorentz_polarisation,
    pseudo_voigt,
    reflections,
    structure_factors,
)
from solvus.models.scattering.structure import Structure, StructureError, cluster, crystal

CASES = [
    f"{name}_{radiation}"
    for name in ("CeO2", "TiO2_rutile", "Fe3O4", "Al2O3", "ZnO", "Au")
    for radiation in ("xray", "neutron")
]
SETTING = {"F d -3 m:2": (227, 2), "R -3 c:H": (167, 1)}
NUMBER = {"F m -3 m": 225, "P 42/m n m": 136, "P 63 m c": 186}


def case(shared: Path, name: str) -> tuple[dict, dict[str, np.ndarray], Structure]:
    entry = json.loads((shared / "golden/pxrd_index.json").read_text())["cases"][name]
    with np.load(shared / "golden/pxrd.npz") as data:
        arrays = {key.split("__")[1]: data[key] for key in data.files if key.startswith(name + "__")}
    number, setting = SETTING.get(entry["spacegroup"], (NUMBER.get(entry["spacegroup"]), 1))
    species, places, u = [], [], []
    for atom in entry["atoms"]:
        one = build(
            [atom["element"]], [atom["xyz"]], spacegroup=number, setting=setting, cellpar=entry["cell"]
        )
        species += list(one.symbols)
        places += list(one.get_scaled_positions())
        u += [atom["Biso"] / (8 * np.pi**2)] * len(one)
    return (
        entry,
        arrays,
        crystal(species, np.array(places), np.array(entry["cell"], float), u_iso=np.array(u)),
    )


def recorded(entry: dict, arrays: dict[str, np.ndarray]) -> tuple[dict[str, complex], dict[str, float]]:
    prime = {key.rstrip("0123456789"): value["fprime"] for key, value in entry["dispersion"].items()}
    lengths = {k[3:].rstrip("0123456789"): float(v[0]) for k, v in arrays.items() if k.startswith("f0_")}
    return prime, lengths


@pytest.mark.parametrize("name", CASES)
def test_structure_factors_of_the_reference_program(shared: Path, name: str) -> None:
    entry, arrays, structure = case(shared, name)
    prime, lengths = recorded(entry, arrays)
    h = np.stack([arrays[k] for k in "hkl"], axis=1)
    f = structure_factors(structure, h, radiation=entry["radiation"], f_prime=prime, lengths=lengths)
    assert np.abs(np.abs(f) ** 2 - arrays["F2"]).max() < 1e-6 * arrays["F2"].max()


@pytest.mark.parametrize("name", CASES)
def test_profiles_of_the_reference_program(shared: Path, name: str) -> None:
    entry, arrays, structure = case(shared, name)
    prime, lengths = recorded(entry, arrays)
    wavelength = entry["wavelength"]
    lines = reflections(
        structure,
        4 * np.pi / wavelength * 0.999,
        radiation=entry["radiation"],
        f_prime=prime,
        lengths=lengths,
    )
    ours = intensity_two_theta(
        lines, arrays["tth"], wavelength, profile=Profile(w=0.01, eta=0.0), radiation=entry["radiation"]
    )
    # The reference lists lines up to a limit; one more of rutile just beyond it would show in its tail.
    shown = arrays["tth"] < arrays["tth_hkl"].max() - 1.0
    ours, theirs = ours[shown], arrays["y"][shown]
    scale = float(ours @ theirs) / float(ours @ ours)
    assert np.abs(scale * ours - theirs).max() < 1e-6 * theirs.max()


def gold() -> Structure:
    places = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return crystal(["Au"] * 4, places, [4.08, 4.08, 4.08, 90, 90, 90], u_iso=0.006)


def test_fcc_lines_are_unmixed_and_counted() -> None:
    lines = reflections(gold(), 7.0)
    n = np.round((lines.q * 4.08 / (2 * np.pi)) ** 2).astype(int)
    assert n.tolist() == [3, 4, 8, 11, 12, 16, 19, 20]
    assert lines.multiplicity.tolist() == [8, 6, 12, 24, 8, 6, 24, 24]


def test_a_supercell_has_the_lines_of_the_cell() -> None:
    cell = gold()
    places = cell.positions.numpy()
    doubled = crystal(
        ["Au"] * 8,
        np.vstack([places, places + np.array([1, 0, 0])]) / [2, 1, 1],
        [8.16, 4.08, 4.08, 90, 90, 90],
        u_iso=0.006,
    )
    one, two = reflections(cell, 8.0), reflections(doubled, 8.0)
    np.testing.assert_allclose(one.q, two.q, rtol=1e-12)
    np.testing.assert_allclose(
        4 * one.f_squared * one.multiplicity, two.f_squared * two.multiplicity, rtol=1e-9
    )


def test_a_line_has_its_area_and_width() -> None:
    x = np.arange(-30.0, 30.0, 1e-3)
    for eta in (0.0, 0.4, 1.0):
        y = pseudo_voigt(x, 0.3, eta)
        assert y.sum() * 1e-3 == pytest.approx(1.0, abs=0.01 * eta + 1e-9)
        assert np.interp(0.15, x, y) == pytest.approx(y.max() / 2, rel=1e-6)
    line = Reflections(np.array([3.0]), np.array([[1, 0, 0]]), np.array([5.0]), np.array([2.0]))
    angle = np.arange(1.0, 100.0, 0.002)
    theta = np.arcsin(3.0 * 1.5 / (4 * np.pi))
    y = intensity_two_theta(line, angle, 1.5, profile=Profile(eta=0.0))
    assert y.sum() * 0.002 == pytest.approx(
        10.0 * float(lorentz_polarisation(np.array(theta), 1.0)), rel=1e-6
    )
    assert intensity_q(line, np.arange(1, 5, 1e-3), eta=0.0).sum() * 1e-3 == pytest.approx(10 / 9, rel=1e-6)


def test_impossible_input_is_refused() -> None:
    with pytest.raises(StructureError, match="lattice"):
        reflections(cluster(["Au"], [[0.0, 0, 0]]), 5.0)
    with pytest.raises(StructureError, match="qmax"):
        reflections(gold(), 0.0)
    with pytest.raises(StructureError, match="million"):
        reflections(gold(), 500.0)
    with pytest.raises(StructureError, match="width"):
        intensity_two_theta(reflections(gold(), 5.0), [10.0, 20.0], 1.5, profile=Profile(w=0.0))
