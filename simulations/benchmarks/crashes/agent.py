"""The agent of the crash matrix as a program: ``python -m solvus.simulations.benchmarks.crashes.agent``.

It is the real loop on a real broker and a real database; only identification and planning are stand-ins, so that a
campaign of two dozen experiments takes seconds. Ends with 0 when the campaign has ended.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from solvus.agent.bench import Bench
from solvus.agent.campaign import Campaign, Timing
from solvus.agent.campaign_loop import CampaignLoop, DevicesMissing
from solvus.agent.ledger.engine import LedgerError
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.tables import CampaignRow
from solvus.agent.limits import LimitError
from solvus.agent.neighbours import LaboratoryTaken
from solvus.agent.session import begin, interrupted, resume
from solvus.agent.side_jobs import CampaignBroken
from solvus.drivers.broker_address import BrokerAddress, BrokerUnreachable
from solvus.simulations.benchmarks.crashes.instruments import CrashBookkeepers
from solvus.simulations.benchmarks.faults.instruments import campaign_of, laboratory_of, target

TIMING = Timing(command_expires=6.0, republish=1.0, device_lost=8.0, devices_ready=60.0)
"""Short, so that expired and unknown orders come about in seconds."""
EXPECTED = (
    *(SQLAlchemyError, LedgerError, OSError, BrokerUnreachable, LaboratoryTaken, DevicesMissing),
    *(CampaignBroken, LimitError),
)


def campaign(experiments: int) -> Campaign:
    return campaign_of(experiments, 1).model_copy(update={"timing": TIMING})


async def run(folder: Path, url: str, port: int, experiments: int, seed: int) -> str:
    """One run; returns how it ended."""
    ledger = await Ledger.open(url)
    try:
        bench = Bench(
            laboratory_of(external=False), BrokerAddress(port=port), ("robot",), ("diffractometer",)
        )
        wanted = campaign(experiments)
        known = await ledger.rows(CampaignRow)
        if known and known[0].state in ("found", "exhausted"):
            return known[0].state
        if known:
            campaign_id = await interrupted(ledger, wanted)
            enter = partial(resume, ledger, campaign_id, wanted, {})
        else:
            campaign_id = "faults-1"
            enter = partial(begin, ledger, campaign_id, wanted, bench, target(), {})
        loop = CampaignLoop(
            campaign_id=campaign_id,
            campaign=wanted,
            bench=bench,
            target=target(),
            reductions={},
            ledger=ledger,
            workers=CrashBookkeepers(folder, seed),
            clock=ledger.clock,
            enter=enter,
        )
        return await loop.run()
    finally:
        await ledger.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """0 at the campaign's end, 1 with one sentence when it has to be started again."""
    parser = argparse.ArgumentParser(prog="python -m solvus.simulations.benchmarks.crashes.agent")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--ledger", required=True)
    for name in ("--port", "--experiments", "--seed"):
        parser.add_argument(name, type=int, required=True)
    given = parser.parse_args(arguments)
    try:
        end = asyncio.run(run(given.folder, given.ledger, given.port, given.experiments, given.seed))
    except EXPECTED as error:
        sys.stderr.write(f"agent: {type(error).__name__}: {str(error).splitlines()[0]}\n")
        return 1
    return 0 if end in ("found", "exhausted") else 1


if __name__ == "__main__":
    sys.exit(main())
