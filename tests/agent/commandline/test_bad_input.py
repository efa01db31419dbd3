"""Bad input at the command line: one sentence, a non-zero exit, nothing half-written."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from solvus.agent.ledger.ledger import Ledger

CONFIGS = Path(__file__).parents[3] / "configs"


def solvus(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "SOLVUS_LEDGER"} | {"COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "solvus", *arguments], capture_output=True, text=True, cwd=cwd, env=environment
    )


def shipped(kind: str, name: str) -> dict[str, Any]:
    return yaml.safe_load((CONFIGS / kind / f"{name}.yaml").read_text())


def write(folder: Path, name: str, content: dict[str, Any]) -> str:
    (folder / name).write_text(yaml.safe_dump(content))
    return name


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_a_misspelt_key_is_named_with_its_line(tmp_path: Path) -> None:
    campaign = shipped("campaigns", "gold-decahedron")
    campaign["bugdet"] = campaign.pop("budget")
    refused(
        solvus("run", write(tmp_path, "c.yaml", campaign), cwd=tmp_path),
        "c.yaml line",
        "did you mean 'budget'?",
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.yaml"]


def test_bounds_upside_down(tmp_path: Path) -> None:
    campaign = shipped("campaigns", "gold-decahedron")
    campaign["search_space"]["parameters"][1].update(lower=12, upper=3)
    refused(solvus("run", write(tmp_path, "c.yaml", campaign), cwd=tmp_path), "pH", "lower", "upper")


def test_a_wrong_unit_and_a_range_beyond_the_device(tmp_path: Path) -> None:
    for change, word in (({"unit": "K"}, "degC"), ({"upper": 300}, "outside 20 to 95")):
        campaign = shipped("campaigns", "gold-decahedron")
        campaign["search_space"]["parameters"][0].update(change)
        done = solvus("run", write(tmp_path, "c.yaml", campaign), cwd=tmp_path)
        refused(done, "temperature", word)
        assert "none yet" in solvus("status", "any", cwd=tmp_path).stderr, "no campaign has begun"


def _holds(database: Path, kind: str) -> bool:
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5) as connection:
            return bool(connection.execute("SELECT 1 FROM ledger_event WHERE kind = ?", (kind,)).fetchone())
    except sqlite3.OperationalError:
        return False  # the tables are still being made


def test_a_resume_on_changed_ground(tmp_path: Path) -> None:
    campaign = shipped("campaigns", "gold-decahedron") | {"budget": {"experiments": 1}}
    campaign["planner"] = {"method": "sobol"}
    lab = shipped("laboratories", "gold")
    file, room = write(tmp_path, "c.yaml", campaign), write(tmp_path, "lab.yaml", lab)
    first = subprocess.Popen(
        [sys.executable, "-m", "solvus", "run", file, "--lab", room], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    database = tmp_path / "solvus-data/ledger.db"
    while first.poll() is None and not (database.exists() and _holds(database, "devices-met")):
        time.sleep(0.05)
    first.kill()
    first.wait()
    lab["devices"][0]["settings"]["seed"] = 7
    write(tmp_path, "lab.yaml", lab)
    refused(solvus("run", file, "--lab", room, "--resume", cwd=tmp_path), "devices differ")


def test_an_unknown_device(tmp_path: Path) -> None:
    campaign = shipped("campaigns", "gold-decahedron")
    campaign["devices"] = {"synthesis": ["robbot"], "measurement": ["diffractometer"]}
    refused(
        solvus("run", write(tmp_path, "c.yaml", campaign), cwd=tmp_path), "robbot", "did you mean 'robot'?"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.yaml"], "refused before anything is made"


def test_a_ledger_that_another_agent_writes(tmp_path: Path) -> None:
    with FileLock(tmp_path / "ledger.db.lock"):
        done = solvus(
            "run", "gold-decahedron", "--ledger", f"sqlite:///{tmp_path / 'ledger.db'}", cwd=tmp_path
        )
    refused(done, "another agent is writing it")
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.db.lock"], (
        "neither broker nor devices were started"
    )


def test_a_database_that_takes_no_more(tmp_path: Path) -> None:
    database = tmp_path / "ledger.db"
    url = f"sqlite:///{database}"
    asyncio.run(empty_ledger(url))
    with sqlite3.connect(database) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON ledger_event BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    done = solvus("run", "gold-decahedron", "--ledger", url, cwd=tmp_path)
    refused(done, "the database refused a step", "disk is full", "--resume")


async def empty_ledger(url: str) -> None:
    await (await Ledger.open(url)).close()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"structure": "Au icosahedron-562"}, ("icosahedron-561",)),
        ({"structure": "Xx icosahedron-561"}, ("Xx",)),
        ({"structure": "Au icosahedron-561", "file": "a.xyz"}, ("exactly one",)),
        ({"file": "missing.xyz"}, ("missing.xyz", "no such file")),
        ({"pattern": "missing.gr"}, ("missing.gr",)),
    ],
)
def test_targets_that_cannot_be_aimed_at(
    tmp_path: Path, target: dict[str, str], words: tuple[str, ...]
) -> None:
    campaign = shipped("campaigns", "gold-decahedron") | {"target": target}
    refused(solvus("run", write(tmp_path, "c.yaml", campaign), cwd=tmp_path), *words)
    assert not list(tmp_path.rglob("ledger.db")), "a campaign without a target leaves no trace"


def test_a_target_outside_the_library(tmp_path: Path) -> None:
    # A straight chain of gold is a finite structure that no cluster explains.
    atoms = "\n".join(f"Au {2.88 * k:.3f} 0.0 0.0" for k in range(12))
    (tmp_path / "chain.xyz").write_text(f"12\nchain\n{atoms}\n")
    campaign = shipped("campaigns", "gold-decahedron") | {"target": {"file": "chain.xyz"}}
    done = solvus("run", write(tmp_path, "c.yaml", campaign), cwd=tmp_path)
    refused(done, "chain.xyz", "outside the library")


def test_an_unreachable_broker(tmp_path: Path) -> None:
    lab = shipped("laboratories", "gold")
    lab["broker"] = {"kind": "external", "host": "127.0.0.1", "port": 1}
    file = write(tmp_path, "lab.yaml", lab)
    done = solvus("run", "gold-decahedron", "--lab", file, cwd=tmp_path)
    refused(done, "127.0.0.1:1")
    assert "none yet" in solvus("status", "any", cwd=tmp_path).stderr, "no campaign has begun"
    refused(solvus("lab", file, cwd=tmp_path), "127.0.0.1:1")


def test_a_password_that_is_nowhere(tmp_path: Path) -> None:
    lab = shipped("laboratories", "gold")
    login = {"username": "solvus", "password_variable": "SOLVUS_NO_SUCH_VARIABLE"}
    lab["broker"] = {"kind": "external", "host": "127.0.0.1", "port": 1, **login}
    file = write(tmp_path, "lab.yaml", lab)
    for verb in (("run", "gold-decahedron", "--lab", file), ("lab", file)):
        refused(solvus(*verb, cwd=tmp_path), "SOLVUS_NO_SUCH_VARIABLE")


def test_a_laboratory_whose_device_dies_has_failed(tmp_path: Path) -> None:
    lab = shipped("laboratories", "gold")
    lab["devices"][0]["driver"] = "no-such-driver"
    refused(solvus("lab", write(tmp_path, "lab.yaml", lab), cwd=tmp_path), "no-such-driver")


def test_json_errors_are_one_document(tmp_path: Path) -> None:
    done = solvus("run", "nowhere.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert "nowhere.yaml" in json.loads(done.stdout)["error"]


def test_nothing_to_resume(tmp_path: Path) -> None:
    refused(solvus("run", "gold-decahedron", "--resume", cwd=tmp_path), "leave --resume out")


def test_an_unsupported_ledger(tmp_path: Path) -> None:
    refused(solvus("run", "gold-decahedron", "--ledger", "oracle://x", cwd=tmp_path), "sqlite:///path")
    refused(solvus("status", cwd=tmp_path), "ledger")
    assert list(tmp_path.rglob("*.db")) == []
