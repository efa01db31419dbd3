"""The forward models of the refinement: against the scattering engine, and their derivatives against differences."""

from __future__ import annotations

import numpy as np
import pytest
from ase.cluster import Icosahedron

from solvus.models.refinement.parameters import RefinementError
from solvus.models.refinement.pdf_model import PdfConditions, PdfModel
from solvus.models.refinement.phase import Phase
from solvus.models.refinement.powder_model import SOURCES, PowderConditions, PowderModel
from solvus.models.refinement.shape import characteristic
from solvus.models.refinement.shells import find_shells
from solvus.models.refinement.small_angle_model import SmallAngleModel
from solvus.models.refinement.symmetry import free_cell, operations, orbit
from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.powder import Profile, intensity_two_theta, reflections
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.small_angle import lognormal_spheres
from solvus.models.scattering.structure import cluster, crystal
from solvus.models.structures.record import Record

R = np.arange(32, 400) * 0.05


def structure(
    name: str,
    group: int,
    cell: tuple[float, ...],
    sites: list[tuple[str, float, float, float]],
    setting: int = 1,
    u: tuple[float, ...] = (),
) -> Record:
    a, b, c, alpha, beta, gamma = cell
    return Record(
        name=name,
        family="oxide",
        type=name,
        formula=name,
        species=tuple(s[0] for s in sites),
        positions=np.array([s[1:] for s in sites], dtype=float),
        source="test",
        space_group=group,
        setting=setting,
        cell=(a, b, c, alpha, beta, gamma),
        u_iso=u,
    )


CERIA = structure(
    "CeO2",
    225,
    (5.411, 5.411, 5.411, 90, 90, 90),
    [("Ce", 0, 0, 0), ("O", 0.25, 0.25, 0.25)],
    u=(0.004, 0.008),
)
RUTILE = structure(
    "rutile", 136, (4.594, 4.594, 2.959, 90, 90, 90), [("Ti", 0, 0, 0), ("O", 0.305, 0.305, 0)]
)
MANGANOSITE = structure("MnO", 166, (3.15, 3.15, 7.59, 90, 90, 120), [("Mn", 0, 0, 0), ("O", 0, 0, 0.5)])
BADDELEYITE = structure(
    "ZrO2",
    14,
    (5.15, 5.21, 5.32, 90, 99.2, 90),
    [("Zr", 0.2754, 0.0395, 0.2083), ("O", 0.0700, 0.3317, 0.3447), ("O", 0.4496, 0.7569, 0.4792)],
)


def gold(shells: int) -> Record:
    atoms = Icosahedron("Au", shells)
    return Record(
        name="gold", family="metal", type="icosahedron", formula=f"Au{len(atoms)}",
        species=("Au",) * len(atoms), positions=atoms.positions, source="test",
    )  # fmt: skip


def expanded(record: Record) -> tuple[list[str], np.ndarray, np.ndarray]:
    phase = Phase.of(record)
    names = [n for k, own in enumerate(phase.orbits) for n in [record.species[k]] * len(own.positions)]
    u = [
        phase.parameters[phase.kinds[k].u].value for k, own in enumerate(phase.orbits) for _ in own.positions
    ]
    return names, np.concatenate([own.positions for own in phase.orbits]), np.array(u)


@pytest.mark.parametrize("record", [CERIA, RUTILE, MANGANOSITE, BADDELEYITE], ids=lambda r: r.name)
@pytest.mark.parametrize("radiation", ["xray", "neutron"])
def test_a_crystal_gives_the_curve_of_the_scattering_engine(record: Record, radiation: str) -> None:
    names, places, u = expanded(record)
    reference = calculate(
        crystal(names, places, np.array(record.cell), u_iso=u),
        Settings(
            rmin=1.575, rmax=19.975, rstep=0.05, qmin=0.7, qmax=22.0, qdamp=0.03, qbroad=0.01, delta2=1.5,
            delta1=0.1, diameter=40.0, scale=0.8, radiation=radiation,
        ),
    )  # fmt: skip
    conditions = PdfConditions(22.0, 0.7, radiation, 0.03, 0.01)
    model = PdfModel(R, [("", Phase.of(record))], conditions, ["a"], shaped=[""])
    values = {p.name: p.value for p in model.parameters}
    curve, _ = model.curve(values | {"delta2": 1.5, "delta1": 0.1, "diameter": 40.0, "scale": 0.8}, ())
    assert np.abs(curve - reference.g.numpy()).max() < 1e-4 * np.abs(curve).max()


def test_a_cluster_gives_the_curve_of_the_scattering_engine() -> None:
    record = gold(4)
    reference = calculate(
        cluster(["Au"] * 147, record.positions * 1.01, u_iso=0.006),
        Settings(rmin=1.575, rmax=19.975, rstep=0.05, qmin=0.8, qmax=25.0, delta2=2.0),
    )
    model = PdfModel(R, [("", Phase.of(record))], PdfConditions(25.0, 0.8), ["expansion"])
    values = {p.name: p.value for p in model.parameters}
    curve, _ = model.curve(values | {"delta2": 2.0, "expansion": 1.01, "u_Au": 0.006}, ())
    assert np.abs(curve - reference.g.numpy()).max() < 1e-4 * np.abs(curve).max()


def slopes_agree(model, values: dict[str, float], names: list[str], tolerance: float = 1e-4) -> None:
    _, slopes = model.curve(values, names)
    reciprocal = {p.name for p in model.parameters if p.reciprocal}
    natural = {p.name: p.natural for p in model.parameters}
    for name in names:
        step = 1e-3 * natural[name]
        above = model.curve(values | {name: values[name] + step}, ())[0]
        below = model.curve(values | {name: values[name] - step}, ())[0]
        difference = (above - below) / (2.0 * step)
        exact = slopes[name] * (-1.0 / values[name] ** 2 if name in reciprocal else 1.0)
        assert np.abs(exact - difference).max() < tolerance * np.abs(difference).max(), name


@pytest.mark.parametrize("record", [CERIA, RUTILE, MANGANOSITE, BADDELEYITE], ids=lambda r: r.name)
def test_slopes_of_a_crystal_are_derivatives(record: Record) -> None:
    phase = Phase.of(record)
    widths = ["delta1", "delta2", "scale", "qdamp", "qbroad", "diameter", "elongation", "spread"]
    names = [*phase.parameters, *widths]
    model = PdfModel(R, [("", phase)], PdfConditions(20.0, 0.5, "xray", 0.03, 0.01), names, shaped=[""])
    values = {p.name: p.value for p in model.parameters}
    values |= {"delta1": 0.1, "delta2": 1.0, "diameter": 30.0, "elongation": 1.4, "spread": 0.1}
    values |= {name: 0.9 for name in values if name.startswith("occ_")}
    slopes_agree(model, values, names)


def test_slopes_of_two_phases_and_of_free_atoms_are_derivatives() -> None:
    phases = [("1", Phase.of(CERIA)), ("2", Phase.of(RUTILE))]
    names = ["a@1", "a@2", "c@2", "x_O@2", "u_O@1", "fraction@2", "scale", "delta2@1"]
    model = PdfModel(R, phases, PdfConditions(20.0), names)
    slopes_agree(model, {p.name: p.value for p in model.parameters} | {"delta2@1": 1.0}, names)
    record = gold(2)
    names = ["x1", "y5", "z13", "expansion", "u_Au"]
    model = PdfModel(R, [("", Phase.of(record))], PdfConditions(20.0, 0.8), names)
    values = {p.name: p.value for p in model.parameters}
    slopes_agree(model, values | {"x1": values["x1"] + 0.1, "y5": values["y5"] - 0.1}, names)


@pytest.mark.parametrize("record", [CERIA, RUTILE, BADDELEYITE], ids=lambda r: r.name)
def test_slopes_of_a_powder_pattern_are_derivatives(record: Record) -> None:
    phase = Phase.of(record)
    conditions = PowderConditions(SOURCES["CuKa"], background=4)
    model = PowderModel(np.arange(15.0, 110.0, 0.05), [("", phase)], conditions)
    values = {p.name: p.value for p in model.parameters}
    values |= {"caglioti_u": 0.02, "caglioti_v": -0.01, "zero": 0.01, "shift_cos": 0.02, "shift_sin": -0.02}
    values |= {name: 0.9 for name in values if name.startswith("occ_")}
    slopes_agree(model, values, [p.name for p in model.parameters])


def test_a_powder_pattern_is_that_of_the_scattering_engine() -> None:
    angle = np.arange(10.0, 100.0, 0.02)
    model = PowderModel(angle, [("", Phase.of(CERIA))], PowderConditions(SOURCES["MoKa1"]))
    values = {p.name: p.value for p in model.parameters} | {"caglioti_w": 0.02, "eta": 0.0}
    names, places, u = expanded(CERIA)
    lines = reflections(crystal(names, places, np.array(CERIA.cell), u_iso=u), 14.0)
    reference = intensity_two_theta(lines, angle, 0.709317, profile=Profile(w=0.02, eta=0.0))
    atoms, volume = 12, 5.411**3
    assert np.allclose(model.curve(values, ())[0], reference / (atoms * volume), atol=1e-6 * reference.max())


def test_a_small_angle_curve_is_that_of_the_scattering_engine() -> None:
    q = np.arange(0.002, 0.3, 0.002)
    model = SmallAngleModel(q, 1.0)
    values = {"scale": 1.0, "diameter": 60.0, "spread": 0.12, "background": 0.0}
    curve, _ = model.curve(values, ())
    reference = lognormal_spheres(q, 30.0, 0.12)
    # The reference leaves out sizes beyond four standard deviations, which the sixth power makes count.
    assert np.allclose(curve / curve[0], reference / reference[0], rtol=0.02)
    slopes_agree(model, values, list(values))


def test_equal_distances_are_one_shell_and_no_pair_is_lost() -> None:
    phase = Phase.of(CERIA)
    shells = find_shells(phase, 15.0, ["a"])
    values = {name: p.value for name, p in phase.parameters.items()}
    d, _ = shells.distances(values, ())
    # 12 sites in a cell: each has four pi / 3 r^3 rho neighbours within r, but for the roughness of the lattice.
    within = shells.weight[d < 12.0].sum()
    assert within / 12 == pytest.approx(4 / 3 * np.pi * 12**3 * 12 / 5.411**3, rel=0.03)
    assert len(shells) < 100
    loose = find_shells(phase, 15.0, [])
    assert loose.weight.sum() == pytest.approx(shells.weight.sum())


def test_symmetry_leaves_free_what_the_tables_say() -> None:
    assert list(free_cell(225, (5.4, 5.4, 5.4, 90, 90, 90))) == ["a"]
    assert list(free_cell(136, (4.6, 4.6, 3.0, 90, 90, 90))) == ["a", "c"]
    assert list(free_cell(166, (4.4, 4.4, 4.4, 60.5, 60.5, 60.5))) == ["a", "alpha"]
    assert list(free_cell(14, (5.1, 5.2, 5.3, 90, 99.2, 90))) == ["a", "b", "c", "beta"]
    assert list(free_cell(1, (5.4, 5.4, 5.4, 90, 90, 90))) == ["a"]
    # Rutile 4f (x, x, 0); spinel 32e (x, x, x); wurtzite's polar axis has no origin: one z stays.
    assert orbit(operations(136), np.array([0.305, 0.305, 0.0])).directions.tolist() == [[1, 1, 0]]
    assert orbit(operations(227, 2), np.array([0.26, 0.26, 0.26])).directions.tolist() == [[1, 1, 1]]
    wurtzite = structure(
        "ZnO", 186, (3.25, 3.25, 5.21, 90, 90, 120), [("Zn", 1 / 3, 2 / 3, 0), ("O", 1 / 3, 2 / 3, 0.38)]
    )
    assert list(Phase.of(wurtzite).coordinates) == ["z_O"]
    with pytest.raises(RefinementError, match="space_group"):
        operations(231)


def test_shapes_are_those_of_geometry() -> None:
    r = np.linspace(0.0, 60.0, 200)
    sphere, _ = characteristic(r, 1 / 50.0)
    x = r / 50.0
    assert np.allclose(sphere, np.where(x < 1, 1 - 1.5 * x + 0.5 * x**3, 0))
    # For small r every body falls off as 1 - S r / 4 V: the surface of a 2:1 spheroid by Gauss quadrature of its area.
    elongated, _ = characteristic(np.array([0.01]), 1 / 50.0, 2.0)
    eccentricity = np.sqrt(1 - 1 / 4)
    area = 2 * np.pi * 25**2 * (1 + 2 / eccentricity * np.arcsin(eccentricity))
    volume = 4 / 3 * np.pi * 25**2 * 50
    assert (1 - elongated[0]) / 0.01 == pytest.approx(area / (4 * volume), rel=1e-3)
    wide, _ = characteristic(r, 1 / 50.0, 1.0, 0.2)
    assert wide[-1] > 0 == sphere[-1]
    assert (np.diff(wide) <= 0).all()
