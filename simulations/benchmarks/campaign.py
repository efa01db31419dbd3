"""The closed-loop benchmark: whole campaigns over MQTT, our planner against Sobol, over many simulated laboratories.

Every run is ``solvus run`` in its own process with its own broker, devices, ledger and world store, so what is
measured is what a user gets. A seed names a laboratory (another hidden optimum, other noise) and the planner's draws at
once; both methods meet the same laboratories. A campaign counts as found when the agent has found *and confirmed* the
target within the budget; the benchmark then looks at the truth that the simulated laboratory kept, which the agent
never sees.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from solvus.agent.campaign import Campaign
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.projections import LedgerEvent
from solvus.drivers.laboratory import Laboratory
from solvus.simulations.gold import is_hit
from solvus.simulations.world_store import WorldStore

METHODS = ("surrogate", "sobol")
REPEAT = "surrogate again"
"""Name of the run that repeats the first seed to see whether it gives the same recipes."""


@dataclass(frozen=True)
class Run:
    """One campaign of the benchmark: ``experiments`` counts replicates too; ``true_hit`` is ``None`` when none was
    claimed, and so is ``stated``, the probability of being within all tolerances that the agent gave to the confirming
    sample. ``decision_seconds``: from the arrival of each pattern to the next published order."""

    method: str
    seed: int
    found: bool
    experiments: int
    true_hit: bool | None
    stated: float | None
    recipes: tuple[str, ...]
    decision_seconds: tuple[float, ...]
    seconds: float


@dataclass
class Report:
    world: str
    budget: int
    runs: list[Run] = field(default_factory=list)

    def method(self, name: str) -> dict[str, Any]:
        runs = sorted((r for r in self.runs if r.method == name), key=lambda r: r.seed)
        found = [r.experiments for r in runs if r.found]
        return {
            "found": len(found),
            "seeds": len(runs),
            "hit_rate": len(found) / len(runs) if runs else 0.0,
            "median": statistics.median(found) if found else None,
            "worst": max(found) if found else None,
            "experiments": [r.experiments if r.found else None for r in runs],
            "true_hits": sum(r.true_hit is True for r in runs),
            "stated_hits": sum(r.stated or 0.0 for r in runs),
        }

    def document(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        decisions = [s for r in self.runs if r.method != "sobol" for s in r.decision_seconds]
        document: dict[str, Any] = {
            "world": self.world,
            "budget": self.budget,
            "methods": {name: self.method(name) for name in METHODS},
            "decision_seconds_median": statistics.median(decisions) if decisions else None,
            "same_recipes": self._same_recipes(),
        }
        return document

    def _same_recipes(self) -> bool | None:
        repeats = [r for r in self.runs if r.method == REPEAT]
        if not repeats:
            return None
        first = next(r for r in self.runs if r.method == "surrogate" and r.seed == repeats[0].seed)
        return first.recipes == repeats[0].recipes


async def bench_campaigns(
    campaign: Campaign,
    laboratory: Laboratory,
    *,
    world: str,
    seeds: int,
    folder: Path,
    at_once: int = 2,
    done: Callable[[Run], None] = lambda _: None,
) -> Report:
    """Run every method on every seed, ``at_once`` campaigns side by side; ``done`` hears of each as it ends.

    Raises
    ------
    RuntimeError
        When a campaign ends in an error; with what it said.
    """
    report = Report(world, campaign.budget.experiments)
    turn = asyncio.Semaphore(at_once)

    async def one(method: str, seed: int) -> None:
        async with turn:
            run = await _run(
                campaign, laboratory, method, seed, folder / f"{method.replace(' ', '-')}-{seed}"
            )
        report.runs.append(run)
        done(run)

    async with asyncio.TaskGroup() as group:
        for seed in range(1, seeds + 1):
            for method in METHODS:
                group.create_task(one(method, seed))
        group.create_task(one(REPEAT, 1))
    return report


async def _run(campaign: Campaign, laboratory: Laboratory, method: str, seed: int, folder: Path) -> Run:
    folder.mkdir(parents=True)
    chosen = campaign.model_dump(mode="json", exclude_none=True) | {"seed": seed, "parallel": 1}
    chosen["planner"] = chosen["planner"] | {"method": "sobol" if method == "sobol" else "surrogate"}
    room = laboratory.model_dump(mode="json", exclude_none=True)
    room["data_directory"] = str(folder / "data")
    for device in room["devices"]:
        if "seed" in device["settings"]:
            device["settings"]["seed"] = seed
    (folder / "campaign.yaml").write_text(yaml.safe_dump(chosen))
    (folder / "lab.yaml").write_text(yaml.safe_dump(room))
    url = f"sqlite:///{folder / 'ledger.db'}"
    began = asyncio.get_running_loop().time()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "solvus", "run", str(folder / "campaign.yaml")),
        *("--lab", str(folder / "lab.yaml"), "--ledger", url, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:  # another campaign has failed, or the benchmark was stopped
            process.terminate()
            await process.wait()
    seconds = asyncio.get_running_loop().time() - began
    document = json.loads(out) if out.strip() else {}
    if document.get("state") not in ("found", "exhausted"):
        raise RuntimeError(f"{method}, seed {seed}: {document.get('error') or err.decode()[-500:]}")
    return await _read(url, document["campaign"], method, seed, seconds, _world_stores(folder))


def _world_stores(folder: Path) -> list[Path]:
    return list((folder / "data").glob("**/world.sqlite"))


async def _read(url: str, campaign: str, method: str, seed: int, seconds: float, stores: list[Path]) -> Run:
    ledger = await Ledger.open(url, write=False)
    try:
        events = await ledger.events(campaign)
    finally:
        await ledger.close()
    proposals = [e.body for e in events if e.kind == "experiment-proposed"]
    end = next(e.body for e in reversed(events) if e.kind == "campaign-ended")
    found = end["state"] == "found"
    scored = [e.body["score"] for e in events if e.kind == "experiment-scored"]
    return Run(
        method=method,
        seed=seed,
        found=found,
        experiments=len(proposals),
        true_hit=_true_hit(stores[0], proposals[-1]["sample_id"]) if found and stores else None,
        stated=scored[-1]["probability_within"] if found else None,
        recipes=tuple(json.dumps(p["recipe"], sort_keys=True) for p in proposals),
        decision_seconds=tuple(decision_seconds(events)),
        seconds=seconds,
    )


def _true_hit(store: Path, sample_id: str) -> bool:
    """Whether the confirming sample is by the world's own rule what the target asks for."""
    return is_hit(WorldStore(store).get(sample_id).product)


def decision_seconds(events: list[LedgerEvent]) -> list[float]:
    """Seconds from each pattern's arrival to the next order for a synthesis, one experiment at a time."""
    waits: list[float] = []
    arrived: datetime | None = None
    synthesis: set[str] = set()
    for event in events:
        at = datetime.fromisoformat(event.at)
        if event.kind == "result-received":
            arrived = at
        elif event.kind == "command-queued" and event.body["purpose"] == "make":
            synthesis.add(event.body["command_id"])
        elif arrived is not None and _is_published_synthesis(event, synthesis):
            waits.append((at - arrived).total_seconds())
            arrived = None
    return waits


def _is_published_synthesis(event: LedgerEvent, synthesis: set[str]) -> bool:
    return (
        event.kind == "command-moved"
        and event.body["to"] == "published"
        and event.body["command_id"] in synthesis
    )
