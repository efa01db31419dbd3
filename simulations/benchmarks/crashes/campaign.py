"""One campaign of the crash matrix: real processes, killed from outside when the ledger says that a state is entered.

The observer reads the ledger as anybody can, every few milliseconds, and sends SIGKILL. Nothing in the programs knows
of it. Whoever looks after the programs (here the same observer) starts again what is down. When the campaign has ended
the ledger is compared with what the devices' own journals and logs say.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from solvus.agent.ledger.projections import LedgerEvent
from solvus.agent.states import CommandState, ExperimentState
from solvus.simulations.benchmarks.crashes.agent import TIMING
from solvus.simulations.benchmarks.crashes.instruments import ENOUGH, FAIL, NARROW, WILD, Wishes
from solvus.simulations.benchmarks.crashes.observer import observe
from solvus.simulations.benchmarks.crashes.programs import (
    AgentProgram,
    BrokerProgram,
    DeviceProgram,
    Program,
    PythonProgram,
    Site,
)
from solvus.simulations.benchmarks.faults.instruments import Log
from solvus.simulations.benchmarks.faults.invariants import read_device, violations

LOOK = 0.01
"""Seconds between two looks into the ledger."""
PATIENCE = 900.0
"""Seconds a campaign may take on a machine that does other things as well."""
AGAIN = 25.0
"""Seconds after which a rare state that did not come is provoked once more."""
STATES = tuple(
    [f"command {state.value}" for state in CommandState]
    + [f"experiment {state.value}" for state in ExperimentState]
)
PROGRAMS = ("agent", "robot", "diffractometer", "broker")


@dataclass
class Outcome:
    """What became of one campaign.

    Attributes
    ----------
    killed_at : the states on whose entry the program was killed; ``missed``: those that did not come about.
    kills : of all programs, with those that led into a rare state.
    """

    program: str
    broker: str
    database: str
    killed_at: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=dict)
    events: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


def entered(event: LedgerEvent) -> str | None:
    """The state that an event enters, as :data:`STATES` names it."""
    match event.kind:
        case "command-queued":
            return "command queued"
        case "command-moved":
            return f"command {event.body['to']}"
        case "experiment-proposed":
            return "experiment proposed"
        case "experiment-moved":
            return f"experiment {event.body['to']}"
        case "experiment-identified":
            return "experiment identified"
        case "experiment-scored":
            return "experiment scored"
    return None


class CrashCampaign:
    """Runs one campaign to its end.

    Parameters
    ----------
    victim : the program that is killed on the entry of each state; empty to kill at random moments.
    states : on which entries.
    moments : how many kills at seeded random moments, every other of a pair of programs.
    """

    def __init__(
        self, site: Site, database: str, *, victim: str, states: Iterable[str], moments: int = 0
    ) -> None:
        self.site, self.victim = site, victim
        self.outcome = Outcome(victim or "random", site.broker, database)
        self._pending = list(states)
        self._moments = moments
        self._random = random.Random(f"crashes {site.seed}")  # noqa: S311 -- draws moments
        self._wishes = Wishes(site.folder)
        self._broker = BrokerProgram(site)
        self._programs: dict[str, Program] = {"broker": self._broker}
        self._observer = observe(site.url)
        self._provoked_at = 0.0
        self._provoking = ""
        self._ordered_from: dict[str, str] = {}
        self._thaw_at: dict[str, float] = {}
        self._next_moment = 0.0

    async def run(self) -> Outcome:
        """Run, kill, restart, compare."""
        began = time.monotonic()
        self._wishes_clear()
        await self._broker.start()
        port = self._broker.broker.address.port
        for device in ("robot", "diffractometer"):
            self._programs[device] = DeviceProgram(device, self.site, port)
        agent = self._programs["agent"] = AgentProgram(self.site, port)
        self._next_moment = began + self._random.uniform(3.0, 8.0)
        try:
            while time.monotonic() - began < PATIENCE:
                await self._look_after()
                if agent.code == 0:
                    break
                for event in await self._observer.news():
                    await self._notice(event)
                self._provoke()
                self._at_random()
                if not self._pending and not self._moments:
                    self._wishes.make(ENOUGH)
                await asyncio.sleep(LOOK)
            else:
                self.outcome.violations.append(f"campaign: did not end within {PATIENCE:g} s")
        finally:
            await self._end()
        self.outcome.seconds = time.monotonic() - began
        self.outcome.missed = self._pending
        self.outcome.kills = {
            name: program.kills for name, program in self._programs.items() if program.kills
        }
        await self._judge()
        return self.outcome

    async def _look_after(self) -> None:
        """Start what is down and due, and thaw what is frozen."""
        moment = time.monotonic()
        for name, at in list(self._thaw_at.items()):
            if moment >= at:
                del self._thaw_at[name]
                self._programs[name].signal(signal.SIGCONT)
        for program in self._programs.values():
            ended = isinstance(program, PythonProgram) and program.code == 0 and program.name == "agent"
            if not program.running and not ended and moment >= program.up_again_at:
                program.up_again_at = moment + 0.5
                await program.start()

    async def _notice(self, event: LedgerEvent) -> None:
        state = entered(event)
        if state is None:
            return
        await self._mislead(state, event)
        if state not in self._pending or not self.victim:
            return
        if self._programs[self.victim].kill():
            self._pending.remove(state)
            self.outcome.killed_at.append(state)
            self._wishes.withdraw(NARROW)  # an agent that starts refuses a device that cannot serve it
            self._provoking = ""

    # Rare states

    def _provoke(self) -> None:
        """Bring about the next state that does not come by itself."""
        moment = time.monotonic()
        rare = [state for state in self._pending if state in _RARE]
        if (
            not rare
            or len(rare) < len(self._pending)
            or (self._provoking in self._pending and moment - self._provoked_at < AGAIN)
        ):
            return
        if not all(program.running for program in self._programs.values()) or self._thaw_at:
            return
        # Turn by turn: one that will not come must not keep the others waiting.
        after = rare.index(self._provoking) + 1 if self._provoking in rare else 0
        self._provoking, self._provoked_at = rare[after % len(rare)], moment
        self._wishes_clear()
        if (wish := _RARE[self._provoking]) in (FAIL, WILD):
            self._wishes.make(wish)

    async def _mislead(self, state: str, event: LedgerEvent) -> None:
        """What a provocation waits for has come: stop the other device at the moment that leads on."""
        other = "diffractometer" if self.victim == "robot" else "robot"
        if state == "command queued":
            self._ordered_from[event.body["command_id"]] = event.body["device"]
        its = self._ordered_from.get(event.body.get("command_id", "")) == other
        how = _RARE.get(self._provoking)
        if how == NARROW and state == "experiment approved":
            self._wishes.make(NARROW)
        elif how in ("interrupt", "lose") and state == "experiment approved":
            self._wishes.make(f"linger-{other}")
        elif state in ("command rejected", "command accepted"):
            self._wishes.withdraw(NARROW)
        if how == "freeze" and state == "command queued" and its and other not in self._thaw_at:
            self._programs[other].signal(signal.SIGSTOP)
            self._thaw_at[other] = time.monotonic() + TIMING.command_expires + 1.0
        elif how in ("interrupt", "lose") and state == "command started" and its:
            down = TIMING.device_lost + 4.0 if how == "lose" else 0.0
            self._programs[other].kill(down)
            self._wishes.withdraw(f"linger-{other}")

    def _wishes_clear(self) -> None:
        for wish in (FAIL, NARROW, WILD, "linger-robot", "linger-diffractometer"):
            self._wishes.withdraw(wish)

    # Random moments

    def _at_random(self) -> None:
        moment = time.monotonic()
        if self._moments == 0 or moment < self._next_moment:
            return
        if not all(program.running for program in self._programs.values()):
            return
        count = 1 + self._moments % 2
        names = self._random.sample(PROGRAMS, count)
        for name in names:
            self._programs[name].kill(self._random.choice((0.0, 0.3, 2.0)))
        self.outcome.killed_at.append(" and ".join(names))
        self._moments -= 1
        self._next_moment = moment + self._random.uniform(2.0, 6.0)

    # The end

    async def _end(self) -> None:
        for name in list(self._thaw_at):
            self._programs[name].signal(signal.SIGCONT)
        others = [p for p in self._programs.values() if isinstance(p, PythonProgram)]
        for program in others:
            if program.running:
                program.signal(signal.SIGTERM)
        await asyncio.gather(*(program.ended(30.0) for program in others))
        await asyncio.to_thread(self._broker.broker.stop)
        await self._observer.close()

    async def _judge(self) -> None:
        folder = self.site.folder
        devices = [
            read_device(name, folder / f"{name}.journal", Log(folder / f"{name}.log").lines())
            for name in ("robot", "diffractometer")
        ]
        self.outcome.violations += await violations(self.site.url, devices)
        self.outcome.events = self._observer.seen


_RARE = {
    "command failed": FAIL,
    "experiment failed": FAIL,
    "command rejected": NARROW,
    "command expired": "freeze",
    "command interrupted": "interrupt",
    "command unknown": "lose",
    "experiment unknown": "lose",
    "experiment rejected": WILD,
}
"""How the states come about that an undisturbed campaign does not know."""
