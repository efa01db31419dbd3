"""diffpy.srreal as an engine: what is asked of it says the same as our structure and settings, and it answers alike.

The translation is tested everywhere; the answers where diffpy.srreal is installed (conda).
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from solvus.agent.commandline.simulate import simulate
from solvus.models.pattern_files import read_gr
from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.engine_srreal import (
    ATTRIBUTES,
    EngineMissing,
    Question,
    translated,
)
from solvus.models.scattering.settings import Settings, SettingsError
from solvus.models.scattering.structure import Structure, StructureError, cluster, crystal, from_ase
from solvus.models.structures.library import Library
from tests.models.test_srreal_convention import LEFT_OUT, LONG, settings_of, structure_of


def missing() -> str:
    """Why diffpy.srreal cannot be used here; empty where it can."""
    try:
        importlib.import_module("diffpy.srreal.pdfcalculator")
    except ImportError as error:
        return f"diffpy.srreal is not installed ({error})"
    return ""


needs_srreal = pytest.mark.skipif(bool(missing()), reason=missing())

TRIGONAL = (4.3, 5.1, 6.2, 81.0, 95.0, 108.0)
U = (0.004, 0.007, 0.011, 0.001, -0.002, 0.0015)


def tilted(**changes: Any) -> Structure:
    """A triclinic crystal with everything that can go wrong: angles, anisotropy, ions, shared sites."""
    given: dict[str, Any] = {"u_aniso": [U, U, U], "occupancy": [1.0, 0.5, 0.5]}
    places = [[0.1, 0.2, 0.3], [0.6, 0.55, 0.8], [0.6, 0.55, 0.8]]
    return crystal(["Ce4+", "O2-", "F1-"], places, TRIGONAL, **given | changes)


def gold(**changes: Any) -> Structure:
    places = [[0.0, 0.0, 0.0], [2.88, 0.0, 0.0], [1.44, 2.49, 0.0]]
    return cluster(["Au", "Au", "Pt"], places, **{"u_iso": 0.006, **changes})


def understood(question: Question) -> Structure:
    """A structure built from nothing but what is asked."""
    symbols = [site.symbol for site in question.sites]
    xyz = [site.xyz for site in question.sites]
    u = np.array([site.u for site in question.sites])
    occupancy = [site.occupancy for site in question.sites]
    if question.lattice is None:
        return cluster(symbols, xyz, u_iso=u, occupancy=occupancy)
    return crystal(symbols, xyz, question.lattice, u_aniso=u, occupancy=occupancy)


def test_every_recorded_call_of_srreal_is_asked_again(shared: Path) -> None:
    """The reference curves record the parameters that srreal was called with."""
    cases = json.loads((shared / "golden" / "index.json").read_text())["cases"]
    for name, case in cases.items():
        if name == LEFT_OUT:
            continue
        debye = "Debye" in case["calculator"]
        asked = translated(structure_of(case), settings_of(case), "debye" if debye else "real_space")
        assert asked.calculator in case["calculator"], name
        stated = case["parameters"]
        assert all(asked.attributes[key] == stated[key] for key in (*ATTRIBUTES, "qmax") if stated[key]), name
        assert asked.table == case["radiation"]
        assert dict(asked.envelopes.values()) == {
            k: stated[k] for k in ("spdiameter", "stepcut") if stated.get(k)
        }
        assert (asked.pair is None) == (stated.get("pair_mask") is None), name
        given_lattice = case["structure"].get("lattice")
        assert (asked.lattice is None) == (given_lattice is None)
        if given_lattice is not None:
            assert asked.lattice == pytest.approx(given_lattice, abs=1e-9), name


@pytest.mark.parametrize("changes", [{}, {"u_aniso": None, "u_iso": [0.004, 0.006, 0.009]}])
def test_what_is_asked_scatters_like_what_was_meant(changes: dict[str, Any]) -> None:
    settings = Settings(rmax=12.0, delta2=1.5, qdamp=0.02)
    meant = tilted(**changes)
    asked = understood(translated(meant, settings))
    one, other = (calculate(s, settings, convention="srreal").g for s in (meant, asked))
    assert float((one - other).abs().max()) < 1e-9 * float(one.abs().max())


@given(
    st.tuples(*[st.floats(3.0, 9.0)] * 3, *[st.floats(70.0, 110.0)] * 3),
    st.tuples(*[st.floats(-3.0, 3.0)] * 3),
)
def test_lattice_and_displacements_survive_any_orientation(
    parameters: tuple[float, ...], axis: tuple[float, ...]
) -> None:
    """srreal sees lengths, angles and displacements along the axes: a rotation of the whole changes none of them."""
    turn = torch.linalg.matrix_exp(
        torch.tensor(
            [[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]],
            dtype=torch.float64,
        )
    )
    plain = crystal(["Ti", "O"], [[0.0] * 3, [0.3, 0.4, 0.45]], parameters, u_aniso=[U, U])
    assert plain.lattice is not None
    turned = Structure(
        plain.species, plain.positions, plain.occupancy, turn @ plain.u @ turn.T, plain.lattice @ turn.T
    )
    for structure in (plain, turned):
        asked = translated(structure, Settings())
        assert asked.lattice == pytest.approx(parameters, abs=1e-9)
        u = np.array(asked.sites[1].u)
        assert u == pytest.approx(
            np.array([[U[0], U[3], U[4]], [U[3], U[1], U[5]], [U[4], U[5], U[2]]]), abs=1e-9
        )


def test_settings_go_over_in_srreals_words() -> None:
    settings = Settings(
        qmax=None,
        diameter=30.0,
        stepcut=20.0,
        pair=("Ce4+", "O2-"),
        radiation="neutron",
        lengths={"O": 5.8, "H": -3.7},
    )
    asked = translated(tilted(), settings)
    assert asked.attributes["qmax"] == 0.0, "its word for no Qmax"
    assert asked.envelopes == {"sphericalshape": ("spdiameter", 30.0), "stepcut": ("stepcut", 20.0)}
    assert asked.lengths == {"O2-": 5.8} and asked.table == "neutron" and asked.pair == ("Ce4+", "O2-")
    assert translated(gold(), Settings(u_iso=0.02)).sites[0].u[0][0] == 0.02
    assert translated(gold(), Settings(), "real_space").calculator == "PDFCalculator"
    assert translated(gold(), Settings(radiation="electrons", qstep=0.02)).attributes["qstep"] == 0.02


@pytest.mark.parametrize(
    ("structure", "settings", "method", "words"),
    [
        (gold(), Settings(qdamp=torch.tensor(0.03, requires_grad=True)), "auto", "qdamp: .* no gradients"),
        (
            cluster(["Au"] * 2, torch.eye(3, dtype=torch.float64)[:2].requires_grad_()),
            Settings(),
            "auto",
            "positions: .* no gradients",
        ),
        (
            cluster(["Au"] * 2, np.arange(12.0).reshape(2, 2, 3) ** 2),
            Settings(),
            "auto",
            "structure: .* one at a time",
        ),
        (gold(), Settings(qmax=torch.tensor([20.0, 25.0])), "auto", "qmax: .* one value at a time"),
        (gold(occupancy=[1.0, 0.5, 1.0]), Settings(), "auto", "occupancy: .* first Au"),
        (gold(), Settings(qmax=None), "auto", "qmax: Debye"),
        (gold(), Settings(pair=("Au", "Cu")), "auto", "pair: 'Cu' is not in the structure"),
        (tilted(), Settings(), "debye", "lattice: Debye"),
    ],
)
def test_what_srreal_cannot_do_is_one_sentence(
    structure: Structure, settings: Settings, method: Any, words: str
) -> None:
    with pytest.raises((StructureError, SettingsError), match=words) as caught:
        calculate(structure, settings, method=method, engine="srreal")
    assert "\n" not in str(caught.value) and not isinstance(caught.value, EngineMissing)


def test_unknown_engines_are_refused() -> None:
    with pytest.raises(SettingsError, match="neither solvus nor srreal"):
        calculate(gold(), engine="pdffit")  # type: ignore[arg-type]


@pytest.mark.skipif(not missing(), reason="diffpy.srreal is installed")
def test_without_srreal_the_error_says_how_to_get_it() -> None:
    with pytest.raises(EngineMissing, match=r"conda install -c conda-forge diffpy\.srreal"):
        calculate(gold(), engine="srreal")


@needs_srreal
def test_srreal_answers_as_it_did_when_it_was_recorded(shared: Path) -> None:
    """Through the adapter, diffpy.srreal gives its own recorded curves, and our convention gives them too."""
    cases = json.loads((shared / "golden" / "index.json").read_text())["cases"]
    curves = np.load(shared / "golden" / "curves.npz")
    for name, case in cases.items():
        if name in LONG or name == LEFT_OUT:
            continue
        method: Any = "debye" if "Debye" in case["calculator"] else "real_space"
        theirs = calculate(structure_of(case), settings_of(case), method=method, engine="srreal")
        for ours, recorded in ((theirs.g, curves[f"{name}__G"]), (theirs.f, curves[f"{name}__F"])):
            assert ours.shape == recorded.shape, name
            assert np.abs(ours.numpy() - recorded).max() < 1e-6 * np.abs(recorded).max(), name


@needs_srreal
@pytest.mark.parametrize("structure", [tilted(), gold()], ids=["triclinic", "cluster"])
@pytest.mark.parametrize("changes", [{}, {"delta1": 0.3, "qbroad": 0.01, "scale": 0.7, "stepcut": 9.0}])
def test_engines_agree(structure: Structure, changes: dict[str, Any]) -> None:
    settings = Settings(rmax=12.0, qmin=0.5, qdamp=0.03, **changes)
    theirs = calculate(structure, settings, engine="srreal")
    ours = calculate(structure, settings, convention="srreal")
    assert torch.allclose(theirs.r, ours.r, atol=1e-9) and torch.allclose(theirs.q, ours.q, atol=1e-9)
    for one, other in ((theirs.g, ours.g), (theirs.f, ours.f)):
        assert float((one - other).abs().max()) < 1e-6 * float(other.abs().max())


@pytest.mark.skipif(not missing(), reason="diffpy.srreal is installed")
def test_the_command_line_says_how_to_get_it(tmp_path: Path) -> None:
    out = str(tmp_path / "a.gr")
    answer = simulate_with_srreal("-o", out)
    assert answer.exit_code != 0 and "conda install -c conda-forge diffpy.srreal" in answer.stderr
    assert not Path(out).exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "a.iq", "--technique", "saxs"), "does not do saxs"),
        (("-o", "a.gr", "--noise", "1e6"), "noise-free curve of one structure"),
        (("-o", "a.gr", "--with", "Au icosahedron-55", "--fraction", "0.5"), "curve of one structure"),
    ],
)
def test_the_command_line_refuses_what_srreal_cannot_do(arguments: tuple[str, ...], words: str) -> None:
    answer = simulate_with_srreal(*arguments)
    assert answer.exit_code != 0 and words in answer.stderr


@needs_srreal
def test_the_command_line_writes_srreals_curve(tmp_path: Path) -> None:
    out = tmp_path / "a.gr"
    assert simulate_with_srreal("-o", str(out), "--qdamp", "0.03").exit_code == 0
    atoms = Library.load().atoms("icosahedron-13", "Au")
    settings = Settings(qmin=0.5, qmax=25.0, qdamp=0.03, rmax=30.01)
    ours = calculate(from_ase(atoms), settings, convention="srreal").g.numpy()
    assert np.abs(read_gr(out).y - ours).max() < 1e-5 * np.abs(ours).max()


def simulate_with_srreal(*arguments: str):
    app = typer.Typer()
    app.command()(simulate)
    return CliRunner().invoke(app, ["Au icosahedron-13", "--engine", "srreal", *arguments])
