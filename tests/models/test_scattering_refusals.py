"""What cannot be calculated is refused in one sentence that names the field."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from solvus.models.scattering.calculate import calculate, radial_distribution
from solvus.models.scattering.form_factors import ElementError, form_factors
from solvus.models.scattering.settings import Settings, SettingsError
from solvus.models.scattering.structure import StructureError, cluster, crystal
from solvus.simulations.benchmarks.scattering import ceria

SHORT = Settings(rmax=8.0, rstep=0.05, qmin=0.7, qmax=14.0, qdamp=0.03)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: cluster(["Au"], [[0.0, 0.0, math.nan]]), "positions: atom 0 is not finite"),
        (lambda: cluster([], np.zeros((0, 3))), "n >= 1"),
        (lambda: crystal(["Au"], [[0, 0, 0]], [4, 4, 4, 90, 90, 90], u_iso=0.0), "u_iso: must be positive"),
        (lambda: crystal(["Au"], [[0, 0, 0]], [4, 4, 4, 90, 90, math.nan]), "lattice"),
        (lambda: crystal(["Au"], [[0, 0, 0]], [4, 4, 4, 90, 90, 180]), "lattice: .* no volume"),
        (lambda: crystal(["Au"], [[0, 0, 0]], [4, 4, 4, 90, 90, 90], u_iso=-0.1), "u_iso"),
        (lambda: crystal(["Au"], [[0, 0, 0]], [4, 4, 4, 90, 90, 90], occupancy=-0.5), "occupancy"),
        (
            lambda: crystal(["Au"] * 2, [[0, 0, 0]] * 2, [4] * 3 + [90] * 3, u_iso=[1, 2, 3]),
            "u_iso: 3 values",
        ),
        (lambda: cluster(["Au"], ["x"]), "positions: not an array"),
        (lambda: crystal(["Au"], [[0, 0, 0]], [0, 4, 4, 90, 90, 90]), "lattice: lengths"),
        (lambda: crystal(["Au"], [[0, 0, 0]], [-4, 4, 4, 90, 90, 90]), "lattice: lengths"),
        (lambda: crystal(["Au"], [[0, 0, 0]], [4, 4, 4, 90, 90, 200]), "between 0 and 180"),
        (lambda: crystal(["Au"], [[0, 0, 0]], np.zeros((3, 3))), "lattice: .* no volume"),
        (lambda: cluster(["Au"] * 3, [[0, 0, 0], [3, 0, 0], [0, 0, 0]]), "2 atoms at the place of atom"),
        (
            lambda: crystal(
                ["Ni", "Cu", "O"], [[0, 0, 0], [1, 0, 0], [0.5] * 3], [4] * 3 + [90] * 3, occupancy=0.6
            ),
            "1.2 atoms at the place",
        ),
        (lambda: crystal(["Au"], [[0, 0, 0]], [0.4, 0.4, 0.4, 90, 90, 90]), "10 to a nanometre"),
        (
            lambda: crystal(["Au"], [[0, 0, 0]], [4] * 3 + [90] * 3, u_aniso=[[0.01] * 3 + [0.05, 0, 0]]),
            "u_aniso: not an ellipsoid",
        ),
    ],
)
def test_what_is_no_structure_is_refused(make: Any, words: str) -> None:
    with pytest.raises(StructureError, match=words):
        make()


def test_atoms_that_nearly_coincide_are_refused() -> None:
    with pytest.raises(StructureError, match="so near"):
        calculate(cluster(["Au", "Au"], [[0.0, 0, 0], [0.01, 0, 0]]), SHORT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"qdamp": math.nan}, "qdamp"),
        ({"qdamp": -0.1}, "qdamp"),
        ({"delta2": -1.0}, "delta2"),
        ({"rmax": 5.0, "rmin": 6.0}, "rmin < rmax"),
        ({"qmin": 30.0}, "qmax: must lie above"),
        ({"diameter": 0.0}, "diameter"),
        ({"rstep": 0.0}, "rstep"),
        ({"scale": torch.tensor([1.0, math.inf])}, "scale"),
        ({"radiation": "gamma"}, "radiation: 'gamma' is none of xray"),
        ({"lengths": {"O": math.nan}}, "lengths"),
        ({"qmax": "25"}, "qmax: must be a number"),
        ({"qmax": 1e6}, "qmax: at most 500"),
        ({"rmax": 1e9}, "points of r"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings(**changes)


@pytest.mark.parametrize("name", ["qmin", "qdamp", "delta2", "u_iso", "expansion"])
def test_several_conditions_are_refused_where_one_is_taken(name: str) -> None:
    many = replace(SHORT, **{name: torch.tensor([0.9, 1.0, 1.1], dtype=torch.float64)})
    three = cluster(["Au"] * 3, [[0.0, 0, 0], [0, 0, 3], [0, 3, 0]])
    for structure in (ceria(5.411), three):
        with pytest.raises(SettingsError, match=f"{name}: .* one number"):
            calculate(structure, many, convention="srreal")
        with pytest.raises(SettingsError, match=f"{name}: .* one number"):
            radial_distribution(structure, many)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(SettingsError, match="method: 'fft' is none of auto"):
        calculate(ceria(5.411), SHORT, method="fft")  # type: ignore[arg-type]


def test_ions_have_their_own_form_factors_and_unknown_ones_are_refused() -> None:
    neutral, ion, also = form_factors(["O", "O1-", "O-"], [0.0, 3.0])
    assert ion[0] == pytest.approx(9.0, abs=0.02)
    assert np.array_equal(ion, also)
    assert neutral[0] == pytest.approx(8.0, abs=0.01)
    assert form_factors(["Ce4+"], [0.0], "neutron") == form_factors(["Ce"], [0.0], "neutron")
    for unknown in ("Fe7+", "Xx", "Fe+3"):
        with pytest.raises(ElementError, match=unknown.replace("+", r"\+")):
            form_factors([unknown], [0.0])


def test_a_pair_that_the_structure_lacks_is_refused() -> None:
    for convention in ("exact", "srreal"):
        with pytest.raises(SettingsError, match="'Ti' is not in the structure"):
            calculate(ceria(5.411), replace(SHORT, pair=("Ti", "O")), convention=convention)
