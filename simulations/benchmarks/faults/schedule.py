"""What goes wrong and when: a schedule of faults drawn from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from solvus.simulations.benchmarks.faults.network import CALM, FAIR, Weather

AGENT, ROBOT, DIFFRACTOMETER = "agent", "robot", "diffractometer"
PROGRAMS = (AGENT, ROBOT, DIFFRACTOMETER)
TROUBLE = 40.0
"""Seconds from the beginning within which faults begin; after that the world is left to mend itself."""


@dataclass(frozen=True)
class Fault:
    """Something that begins at ``at`` and ends ``lasts`` seconds later.

    Attributes
    ----------
    kind : ``storm`` (of ``weather``), ``partition``, ``broker``, ``kill``, ``kill-at-commit``, ``slow-disk``,
        ``full-disk``, ``locked`` or ``clock-step``.
    program : which one it meets; empty for the network.
    number : of the commit, for ``kill-at-commit``; seconds, for ``clock-step`` and ``slow-disk``.
    after : for ``kill-at-commit``, whether the commit has reached the disk.
    """

    kind: str
    at: float
    lasts: float
    program: str = ""
    number: float = 0.0
    after: bool = False
    weather: Weather = FAIR

    def told(self) -> str:
        """In a few words."""
        what = self.kind if not self.program else f"{self.kind} {self.program}"
        match self.kind:
            case "storm":
                w = self.weather
                rates = f"drop {w.drop:.2f}, double {w.duplicate:.2f}, swap {w.reorder:.2f}, damage {w.corrupt:.2f}"
                what = f"storm: {rates}, up to {w.delay[1]:g} s late"
            case "kill-at-commit":
                what += f", {int(self.number)} commits on, {'after' if self.after else 'before'} it is on the disk"
            case "clock-step":
                return f"{what} by {self.number:+g} s"
            case "slow-disk":
                what += f", {self.number:g} s a commit"
        return f"{what}, for {self.lasts:.1f} s"


@dataclass(frozen=True)
class Schedule:
    """One history of faults, and what kind of laboratory it meets.

    Attributes
    ----------
    forgetful : the broker, see :mod:`solvus.simulations.benchmarks.faults.network`.
    offsets, drifts : of the programs' clocks, seconds and seconds per second.
    experiments, parallel : of the campaign.
    """

    seed: int
    forgetful: bool
    experiments: int
    parallel: int
    offsets: dict[str, float]
    drifts: dict[str, float]
    faults: tuple[Fault, ...]


def draw_schedule(seed: int) -> Schedule:
    """The schedule of a seed."""
    r = random.Random(f"faults {seed}")  # noqa: S311 -- draws faults, guards no secret
    faults = [*_storms(r), *_partitions(r), *_broker_crashes(r), *_kills(r), *_disks(r), *_clock_steps(r)]
    return Schedule(
        seed=seed,
        forgetful=r.random() < 0.5,
        experiments=r.randint(3, 5),
        parallel=r.choice((1, 1, 2)),
        offsets={program: _offset(r) for program in PROGRAMS},
        drifts={program: r.gauss(0.0, 1e-3) for program in PROGRAMS},
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
    )


def _when(r: random.Random) -> float:
    return r.uniform(0.0, TROUBLE)


def _offset(r: random.Random) -> float:
    """Most clocks are right to a second; some are minutes off, so that orders arrive expired."""
    return r.gauss(0.0, 1.0) if r.random() < 0.9 else r.gauss(0.0, 60.0)


def _storms(r: random.Random) -> list[Fault]:
    def rate(highest: float) -> float:
        return r.choice((0.0, r.uniform(0.0, highest)))

    storms = []
    for _ in range(r.randint(0, 3)):
        slowest = r.choice((CALM[1], 0.3, 3.0))
        weather = Weather(rate(0.3), rate(0.3), rate(0.3), rate(0.2), (CALM[0], slowest))
        storms.append(Fault("storm", _when(r), r.uniform(2.0, 15.0), weather=weather))
    return storms


def _partitions(r: random.Random) -> list[Fault]:
    return [
        Fault(
            "partition", _when(r), r.choice((0.3, 3.0, 12.0, 30.0)) * r.uniform(0.5, 1.0), r.choice(PROGRAMS)
        )
        for _ in range(r.choice((0, 0, 1, 2)))
    ]


def _broker_crashes(r: random.Random) -> list[Fault]:
    return [Fault("broker", _when(r), r.uniform(0.2, 6.0)) for _ in range(r.choice((0, 0, 1, 2)))]


def _kills(r: random.Random) -> list[Fault]:
    kills = []
    for _ in range(r.randint(0, 4)):
        program, down = r.choice(PROGRAMS), r.choice((0.1, 1.0, 8.0)) * r.uniform(0.5, 1.0)
        if r.random() < 0.5:
            kills.append(Fault("kill", _when(r), down, program))
        else:
            soon = float(r.randint(1, 12))
            kills.append(Fault("kill-at-commit", _when(r), down, program, soon, r.random() < 0.5))
    return kills


def _disks(r: random.Random) -> list[Fault]:
    faults = []
    for _ in range(r.choice((0, 0, 1, 2))):
        kind = r.choice(("slow-disk", "full-disk", "locked"))
        program = AGENT if kind == "slow-disk" else r.choice(PROGRAMS)
        faults.append(Fault(kind, _when(r), r.uniform(1.0, 12.0), program, r.choice((0.05, 0.3, 1.0))))
    return faults


def _clock_steps(r: random.Random) -> list[Fault]:
    return [
        Fault(
            "clock-step",
            _when(r),
            0.0,
            r.choice(PROGRAMS),
            r.choice((-1.0, 1.0)) * r.choice((0.5, 5.0, 60.0)),
        )
        for _ in range(r.choice((0, 0, 0, 1)))
    ]
