"""``solvus library`` from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write
from typer.testing import CliRunner

from solvus.agent.commandline.app import app
from tests.models.database_server import KEY, Database, serving

runner = CliRunner()
VERBS = ("list", "show", "add", "remove", "fetch", "build", "classes")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLVUS_LIBRARY", str(tmp_path / "own"))


def run(*arguments: object):
    return runner.invoke(app, ["library", *map(str, arguments)])


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    atoms = bulk("Au", cubic=True) * (2, 2, 2)
    atoms.pbc, atoms.cell = False, None
    write(tmp_path / "gold.xyz", atoms)
    return tmp_path / "gold.xyz"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_example(verb: str) -> None:
    done = run(verb, "--help")
    assert done.exit_code == 0
    assert f"Example: solvus library {verb}" in " ".join(done.stdout.split())


def test_a_structure_is_added_listed_shown_and_removed(gold: Path, tmp_path: Path) -> None:
    done = run("add", gold, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["structures"] == [
        {"origin": str(gold), "status": "added", "name": "Au32 gold", "message": ""}
    ]
    listed = json.loads(run("list", "--origin", "own", "--json").stdout)["structures"]
    assert [(s["name"], s["n_atoms"], s["family"]) for s in listed] == [("Au32 gold", 32, "metal")]
    shown = json.loads(run("show", "au32 GOLD", "--json").stdout)
    assert len(shown["positions"]) == 32
    assert "gold.xyz" in run("show", "Au32 gold").stdout
    again = run("add", gold)
    assert "already there as Au32 gold" in again.stdout
    assert run("remove", "Au32 gold").exit_code == 0
    assert json.loads(run("list", "--origin", "own", "--json").stdout)["structures"] == []


def test_a_bad_file_fails_the_command_but_not_the_others(gold: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.cif").write_text("data_x\n")
    done = run("add", tmp_path, "nowhere.cif")
    assert done.exit_code == 2
    assert "1 added, 0 already there, 2 refused" in done.stdout
    assert done.stderr.splitlines() == [
        "solvus: bad.cif: holds no atoms with fractional coordinates",
        "solvus: nowhere.cif: no such file or folder",
    ]


def test_clusters_of_a_metal_are_listed_by_size() -> None:
    found = json.loads(run("list", "--elements", "Au", "--atoms", 50, 60, "--json").stdout)["structures"]
    assert "Au icosahedron-55" in {structure["name"] for structure in found}
    assert all(50 <= structure["n_atoms"] <= 60 for structure in found)
    table = run("list", "--elements", "Sn", "--space-group", 141)
    assert "Sn white tin" in table.stdout
    assert "1 structures" in table.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "Sn whte tin"), "did you mean 'Sn white tin'"),
        (("list", "--elements", "Xx"), "elements: 'Xx' is unknown"),
        (("list", "--family", "oxid"), "did you mean oxide"),
        (("remove", "Sn white tin"), "not one of your own"),
        (("list", "--atoms", "200", "100"), "smaller one first"),
        (("fetch", "cod", "--elements", ","), "at least one element"),
        (("fetch", "optimade", "--elements", "Ti", "--base", "ftp://x"), "not an http"),
    ],
)
def test_bad_input_gets_one_sentence(arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert json.loads(run(*arguments, "--json").stdout)["error"]


def test_structures_are_fetched_into_the_own_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MP_API_KEY", KEY)
    with serving(Database(scales=(1.1, 1.14), broken=1)) as base:
        done = run("fetch", "mp", "--elements", "Ti,O", "--base", base)
    assert done.exit_code == 2
    assert "1 added" in done.stdout
    assert "mp-1: structure.lattice is missing" in done.stderr
    assert KEY not in done.stdout + done.stderr
    (structure,) = json.loads(run("list", "--origin", "own", "--json").stdout)["structures"]
    assert (structure["formula"], structure["space_group"]) == ("TiO2", 136)
    monkeypatch.delenv("MP_API_KEY")
    assert "set MP_API_KEY" in run("fetch", "mp", "--elements", "Ti").stderr


@pytest.mark.slow
def test_the_shipped_catalogue_is_what_build_makes() -> None:
    done = run("build", "--check", "--only", "catalogue", "--json")
    assert done.exit_code == 0, done.stdout
    files = json.loads(done.stdout)["files"]
    assert {file["file"]: file["difference"] for file in files} == {
        "catalogue.json.gz": None,
        "signatures.npz": None,
    }


def test_an_interrupted_fetch_keeps_what_it_has(tmp_path: Path) -> None:
    """Ctrl-C during the pause between two requests."""
    with serving(Database(scales=tuple(1.1 + 0.04 * k for k in range(20)))) as base:
        command = [sys.executable, "-m", "solvus", "library", "fetch", "cod", "--elements", "Ti,O"]
        process = subprocess.Popen(
            [*command, "--base", f"{base}/cod", "--library", str(tmp_path / "own")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            # A shell starts its background jobs with interrupts ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        deadline = time.monotonic() + 60.0
        while not list((tmp_path / "own").glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "what was added so far is kept" in said
    assert "Traceback" not in said
    assert json.loads(run("list", "--origin", "own", "--json").stdout)["structures"]
