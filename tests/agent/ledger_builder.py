"""A campaign in a ledger without a laboratory: for tests of whatever reads ledgers, and for looking at reports.

Everything goes through the agent's own functions (orders through the outbox's, messages through the inbox); only the
chemistry, the identification and the plan are made up. ``python tests/agent/ledger_builder.py FOLDER`` writes a
ledger and its report.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from ase.cluster import Decahedron
from scipy.spatial.distance import pdist

from solvus.agent.bench import Bench
from solvus.agent.campaign import Budget, Campaign, Target
from solvus.agent.inbox import Inbox
from solvus.agent.jobs import ResolvedTarget
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import CommandRow, ExperimentRow
from solvus.agent.outbox import queue_command
from solvus.agent.planner.observations import Alternative, Distance, Neighbour, Proposal
from solvus.agent.planner.search_space import Categorical, Continuous, Recipe, SearchSpace
from solvus.agent.scoring import Goal, TargetDescriptors, score
from solvus.agent.session import begin, new_id
from solvus.agent.snapshot import summarise
from solvus.agent.states import CommandState, ExperimentState
from solvus.agent.transitions import move_command, move_experiment
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.laboratory import Laboratory
from solvus.drivers.messages import Event, Result
from solvus.models.identification import Candidate, Descriptor, Identification
from solvus.models.pattern import Conditions, Pattern
from solvus.models.scattering.transform import q_grid, sine_kernel

Fate = Literal[
    "miss", "near", "hit", "confirms", "untrusted", "no-product", "broken", "rejected", "synthesising"
]
"""What becomes of one experiment; ``confirms`` is a replicate of the latest hit that hits as well."""

FOUND: tuple[Fate, ...] = (
    *("miss", "no-product", "miss", "untrusted", "broken", "miss", "near", "miss"),
    *("near", "hit", "confirms"),
)
INITIAL = 6
"""Experiments of the even filling at the start."""
CONDITIONS = Conditions(qmin=0.8, qmax=20.0, qdamp=0.03, qbroad=0.01, wavelength=0.1822)
BOND, DIAMETER = 2.88, 35.0
SPACE = SearchSpace(
    parameters=(
        Continuous(name="temperature", lower=20.0, upper=95.0, unit="degC", step=0.5),
        Continuous(name="pH", lower=3.0, upper=12.0, step=0.1),
        Continuous(name="reductant_to_gold", lower=0.5, upper=20.0, unit="mol/mol", scale="log"),
        Continuous(name="reaction_time", lower=1.0, upper=240.0, unit="min", scale="log"),
        Categorical(name="capping_agent", choices=("citrate", "ctab", "pvp")),
    )
)
BEST: Recipe = {
    "temperature": 71.5,
    "pH": 7.6,
    "reductant_to_gold": 4.2,
    "reaction_time": 62.0,
    "capping_agent": "pvp",
}
TARGET_DESCRIPTORS = TargetDescriptors(
    goals={
        "fraction:decahedral": Goal(value=1.0, tolerance=0.4, at_least=True),
        "diameter": Goal(value=DIAMETER, tolerance=0.05 * DIAMETER),
        "bond_length": Goal(value=BOND, tolerance=0.01 * BOND),
    },
    family="decahedral",
)
LABORATORY = Laboratory.model_validate(
    {
        "name": "gold-lab",
        "devices": [
            {"id": "robot", "driver": "simulated-synthesizer", "action": "synthesise"},
            {"id": "diffractometer", "driver": "simulated-diffractometer", "action": "measure"},
            {"id": "unused", "driver": "simulated-diffractometer", "action": "anneal"},
        ],
    }
)


def campaign(budget: int = 40) -> Campaign:
    return Campaign(
        name="gold-decahedron",
        target=Target(structure="Au decahedron-1103"),
        search_space=SPACE,
        budget=Budget(experiments=budget),
        seed=3,
    )


class StepClock:
    """Time goes on by twenty seconds at every look."""

    def __init__(self) -> None:
        self._now = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=20)
        return self._now


@cache
def _decahedron() -> tuple[np.ndarray, np.ndarray, int]:
    """Distances (bond length 1) and ordered pairs per atom of a Marks decahedron of 609 atoms."""
    positions = Decahedron("Au", 6, 5, 1, latticeconstant=np.sqrt(2.0)).positions
    counts, edges = np.histogram(pdist(positions), bins=3000)
    filled = counts > 0
    return (0.5 * (edges[:-1] + edges[1:]))[filled], 2.0 * counts[filled] / len(positions), len(positions)


def pattern_of(diameter: float, seed: int, noise: float = 0.08, bond: float = BOND) -> Pattern:
    """G(r) of a gold particle about as large as ``diameter`` (angstrom), with noise (1/angstrom^2)."""
    unit, pairs, _ = _decahedron()
    r = np.arange(0.02, 60.0, 0.02)
    q = q_grid(0.8, 20.0, 100.0)
    # One geometry serves all sizes: its pairs are weighted by the ratio of two spheres' overlap functions.
    d = unit * bond
    own = np.clip(1.0 - 1.5 * d / d.max() + 0.5 * (d / d.max()) ** 3, 0.02, None)
    wanted = np.where(d < diameter, 1.0 - 1.5 * d / diameter + 0.5 * (d / diameter) ** 3, 0.0)
    waves = np.exp(-0.007 * q[:, None] ** 2) * np.sin(q[:, None] * d) / d
    curve = (waves @ (pairs * wanted / own)) @ sine_kernel(q, r, qdamp=0.03)
    curve += np.random.default_rng(seed).normal(0.0, noise, len(r))
    return Pattern(x=r, y=np.round(curve, 5), conditions=CONDITIONS)


@cache
def target() -> ResolvedTarget:
    return ResolvedTarget(
        title="Au decahedron-1103",
        elements=("Au",),
        descriptors=TARGET_DESCRIPTORS,
        pattern=pattern_of(DIAMETER, seed=0, noise=0.0),
    )


def identification_of(pattern: Pattern, fate: Fate, diameter: float, fraction: float) -> Identification:
    """An identification such as the recogniser would give for a sample of that fate."""
    r_range, version = (1.6, 20.0), "made-up 1"
    if fate == "untrusted":
        return Identification(
            verdict="none",
            reasons=("R_w 0.61 is worse than any known particle would give",),
            r_range=r_range,
            pattern_sha256=pattern.sha256,
            model_version=version,
        )
    other = 1.0 - fraction
    sizes = {
        "decahedral": ("decahedron", fraction),
        "fcc": ("octahedron", 0.7 * other),
        "icosahedral": ("icosahedron", 0.3 * other),
    }
    ranked = sorted(sizes.items(), key=lambda item: -item[1][1])
    n_atoms = round(0.5924 * (diameter / BOND) ** 3 * 1.25)
    candidates = tuple(
        Candidate(
            structure=f"Au {shape}-{n_atoms + 14 * i}",
            family=family,
            elements=("Au",),
            probability=probability,
            r_w=0.11 + 0.09 * i,
            parameters={
                "scale": 0.93 - 0.1 * i,
                "expansion": 0.998,
                "bond_length": BOND,
                "u_iso": 0.0071,
                "diameter": diameter,
                "n_atoms": float(n_atoms + 14 * i),
            },
        )
        for i, (family, (shape, probability)) in enumerate(ranked)
    )
    descriptors = {f"fraction:{family}": Descriptor(mean=share, sd=0.04) for family, (_, share) in ranked}
    descriptors |= {
        "diameter": Descriptor(mean=diameter, sd=0.4),
        "bond_length": Descriptor(mean=BOND, sd=0.003),
    }
    return Identification(
        verdict="identified",
        candidates=candidates,
        descriptors=descriptors,
        r_range=r_range,
        pattern_sha256=pattern.sha256,
        model_version=version,
    )


@dataclass
class LedgerBuilder:
    """Writes one campaign experiment by experiment; make it with :meth:`start`."""

    ledger: Ledger
    campaign: Campaign
    id: str
    clock: StepClock
    inbox: Inbox
    random: np.random.Generator
    count: int = 0
    seq: int = 0
    hit: int | None = None
    replicates: int = 0

    @classmethod
    async def start(cls, url: str, *, budget: int = 40, seed: int = 1) -> LedgerBuilder:
        clock = StepClock()
        ledger = await Ledger.open(url, clock=clock)
        chosen = campaign(budget)
        bench = Bench(LABORATORY, BrokerAddress(host="localhost"), ("robot",), ("diffractometer",))
        campaign_id = await new_id(ledger, chosen)
        await begin(ledger, campaign_id, chosen, bench, target(), {"threads": "1", "cpu_capability": "AVX2"})
        async with ledger.step() as step:
            met = {device: {"simulated": True} for device in ("robot", "diffractometer")}
            await step.append(campaign_id, "devices-met", {"devices": met})
        inbox = Inbox(ledger, campaign_id, LABORATORY.pattern_folder)
        return cls(ledger, chosen, campaign_id, clock, inbox, np.random.default_rng(seed))

    async def experiment(self, fate: Fate) -> int:
        """One experiment from its proposal to its fate; returns its number."""
        self.count += 1
        proposal = self._proposal(fate)
        replicate_of = self.hit if fate == "confirms" else None
        self.replicates += replicate_of is not None
        async with self.ledger.step() as step:
            await step.append(
                self.id,
                "experiment-proposed",
                {
                    "number": self.count,
                    "sample_id": f"{self.id}-{self.count}",
                    "recipe": proposal.recipe,
                    "replicate_of": replicate_of,
                    "replicate": 0 if replicate_of is None else self.replicates,
                    "proposal": proposal.model_dump(mode="json"),
                },
            )
            if fate == "rejected":
                why = {"reason": "pH: 12 is outside 3 to 11 (limit of the device)"}
                await move_experiment(step, await self._row(step), ExperimentState.REJECTED, **why)
            else:
                verdict = {"decision": {"verdict": "automatic"}}
                await move_experiment(step, await self._row(step), ExperimentState.APPROVED, **verdict)
        if fate == "rejected" or not await self._make(proposal.recipe, fate):
            return self.count
        off, fraction = {
            "miss": (0.4, 0.3),
            "near": (0.12, 0.55),
            "hit": (0.01, 0.95),
            "confirms": (0.01, 0.93),
        }.get(fate, (0.3, 0.5))
        diameter = DIAMETER * (1.0 + off * float(self.random.uniform(-1.0, 1.0)))
        pattern = pattern_of(diameter, seed=self.count)
        await self._measure(pattern)
        await self._identify(identification_of(pattern, fate, diameter, fraction))
        if fate == "hit":
            self.hit, self.replicates = self.count, 0
        return self.count

    async def measured(self, pattern: Pattern) -> ExperimentRow:
        """One experiment up to its measurement; what the pattern shows is left to the caller."""
        self.count += 1
        proposal = self._proposal("hit")
        async with self.ledger.step() as step:
            await step.append(
                self.id,
                "experiment-proposed",
                {
                    "number": self.count,
                    "sample_id": f"{self.id}-{self.count}",
                    "recipe": proposal.recipe,
                    "replicate_of": None,
                    "replicate": 0,
                    "proposal": proposal.model_dump(mode="json"),
                },
            )
            await move_experiment(step, await self._row(step), ExperimentState.APPROVED)
        await self._make(proposal.recipe, "hit")
        await self._measure(pattern)
        return await self.row(self.count)

    async def row(self, number: int) -> ExperimentRow:
        """An experiment as the tables have it now."""
        (row,) = await self.ledger.rows(
            ExperimentRow, ExperimentRow.campaign == self.id, ExperimentRow.number == number
        )
        return row

    async def end(self, state: str, reason: str) -> None:
        async with self.ledger.step() as step:
            await step.append(self.id, "campaign-ended", {"state": state, "reason": reason})

    def _proposal(self, fate: Fate) -> Proposal:
        if fate == "confirms":
            return Proposal(
                recipe=BEST,
                source="replicate",
                probability_feasible=1.0,
                seed=0,
                data_sha256="a" * 64,
                versions={"solvus": "0.1.0"},
                explanation=f"experiment {self.hit} hit the target; made again to confirm it",
            )
        initial = self.count <= INITIAL
        spread = {"hit": 0.0, "near": 0.15}.get(fate, 1.0)
        vector = (1 - spread) * SPACE.encode(BEST) + spread * self.random.uniform(size=5) * [1, 1, 1, 1, 3]
        recipe = BEST if fate == "hit" else SPACE.decode(vector)
        if initial:
            return Proposal(
                recipe=recipe,
                source="sobol",
                probability_feasible=1.0,
                seed=3,
                data_sha256="b" * 64,
                versions={"solvus": "0.1.0"},
                explanation="Fills the space evenly.",
            )
        return Proposal(
            recipe=recipe,
            source="surrogate",
            predicted={
                "fraction:decahedral": Descriptor(mean=0.91, sd=0.08),
                "diameter": Descriptor(mean=35.9, sd=1.4),
            },
            predicted_distance=Distance(mean=0.94, sd=0.41),
            probability_feasible=0.96,
            acquisition=-1.27,
            alternatives=(
                Alternative(
                    recipe=SPACE.decode(np.full(5, 0.4)),
                    acquisition=-1.62,
                    reason="expected farther from the target (1.4 against 0.94)",
                ),
                Alternative(
                    recipe=SPACE.decode(np.full(5, 0.6)),
                    acquisition=-1.9,
                    reason="less likely to give a product (0.51 against 0.96)",
                ),
            ),
            nearest=(Neighbour(experiment=max(1, self.count - 1), distance=0.11),),
            seed=3,
            data_sha256="c" * 64,
            versions={"solvus": "0.1.0", "torch": "2.13.0"},
            hyperparameters={"diameter": {"length:temperature": 0.4, "noise": 0.02}},
            explanation="Expected 0.94 ± 0.41 tolerances from the target; diameter 35.9 ± 1.4; "
            f"gives a product with probability 0.96; nearest known is experiment {self.count - 1} at 0.11.",
        )

    async def _row(self, step: object) -> ExperimentRow:
        row = await step.get(ExperimentRow, self.id, self.count)  # type: ignore[attr-defined]
        assert row is not None
        return row

    async def _order(self, device: str, purpose: str, recipe: Recipe) -> str:
        async with self.ledger.step() as step:
            await queue_command(
                step,
                await self._row(step),
                device=device,
                purpose=purpose,
                parameters=recipe,
                boot_id="boot",
                expires_at=self.clock() + timedelta(minutes=10),
            )
        rows = await self.ledger.rows(
            CommandRow, CommandRow.experiment == self.count, CommandRow.purpose == purpose
        )
        async with self.ledger.step() as step:
            fresh = await step.get(CommandRow, rows[-1].command_id)
            assert fresh is not None
            await move_command(step, fresh, CommandState.PUBLISHED)
        return rows[-1].command_id

    async def _say(self, device: str, message: Event | Result) -> None:
        channel = "event" if isinstance(message, Event) else "result"
        await self.inbox.receive(device, channel, message.model_dump_json(by_alias=True).encode())
        await self.inbox.work()

    async def _event(self, device: str, command_id: str, kind: str, **more: str) -> None:
        self.seq += 1
        fields = {"boot_id": "boot", "journal_id": f"{device}-1", "seq": self.seq, "command_id": command_id}
        await self._say(device, Event.model_validate(fields | {"kind": kind} | more))

    async def _make(self, recipe: Recipe, fate: Fate) -> bool:
        """Whether there is a sample in the end."""
        command_id = await self._order("robot", "make", recipe)
        await self._event("robot", command_id, "accepted")
        await self._event("robot", command_id, "started")
        if fate == "synthesising":
            return False
        if fate == "no-product":
            await self._event(
                "robot",
                command_id,
                "failed",
                cause="chemistry",
                reason="no particles: 3 % of the gold was reduced",
            )
        elif fate == "broken":
            await self._event(
                "robot", command_id, "failed", cause="equipment", reason="syringe pump 2 stalled"
            )
        else:
            await self._event("robot", command_id, "done")
        return fate not in ("no-product", "broken")

    async def _measure(self, pattern: Pattern) -> None:
        command_id = await self._order("diffractometer", "measure", {})
        await self._event("diffractometer", command_id, "started")
        self.seq += 1
        await self._say(
            "diffractometer",
            Result(
                boot_id="boot",
                journal_id="diffractometer-1",
                seq=self.seq,
                command_id=command_id,
                sample_id=f"{self.id}-{self.count}",
                pattern=pattern,
            ),
        )
        await self._event("diffractometer", command_id, "done")

    async def _identify(self, identification: Identification) -> None:
        result = score(identification, TARGET_DESCRIPTORS, self.campaign.hit_probability)
        async with self.ledger.step() as step:
            await step.append(
                self.id,
                "experiment-identified",
                {
                    "number": self.count,
                    "pattern_sha256": identification.pattern_sha256,
                    "settings": {"elements": ["Au"], "r_range": [1.6, 20.0], "qdamp": 0.03, "qbroad": 0.01},
                    "identification": identification.model_dump(mode="json"),
                },
            )
            await step.append(
                self.id,
                "experiment-scored",
                {"number": self.count, "score": result.model_dump(mode="json"), "summary": summarise(result)},
            )


async def build(url: str, fates: Sequence[Fate] = FOUND, *, end: str | None = "found") -> tuple[str, str]:
    """A ledger with one campaign of these fates; returns the campaign's id and the head hash."""
    builder = await LedgerBuilder.start(url)
    for fate in fates:
        await builder.experiment(fate)
    reasons = {
        "found": f"the target was made in experiments {builder.hit} and {builder.count}; by their identifications "
        "they are within all tolerances with p > 0.99 and p > 0.99",
        "exhausted": f"the budget of {builder.campaign.budget.experiments} experiments is spent",
        "stopped": "stopped by the operator",
    }
    if end is not None:
        await builder.end(end, reasons[end])
    head = builder.ledger.head[1]
    await builder.ledger.close()
    return builder.id, head


async def _show(folder: Path) -> None:
    from solvus.agent.report import write_report

    url = f"sqlite:///{folder / 'ledger.db'}"
    campaign_id, _ = await build(url)
    ledger = await Ledger.open(url, write=False)
    print(await write_report(ledger, campaign_id, target(), folder / "report"))
    await ledger.close()


if __name__ == "__main__":
    asyncio.run(_show(Path(sys.argv[1])))
