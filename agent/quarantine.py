"""Where refused messages are kept: what came, from where, why it was refused, and how often.

A message that is refused changes nothing, so it does not belong into the chain of decisions; but a person must be able
to see what was refused and why. One row holds all refusals of one channel of one device for one reason, with the first
of them, so that a device (or somebody in its name) that sends rubbish all night fills no disk.
"""

from __future__ import annotations

import logging

from sqlalchemy import func
from sqlmodel import col, select

from solvus.agent.ledger.canonical import sha256_text
from solvus.agent.ledger.ledger import Ledger, Step, timestamp
from solvus.agent.ledger.tables import QuarantineRow

log = logging.getLogger(__name__)

HEAD = 2000
"""Characters kept of the first message of each kind."""
ROWS = 5000
"""Kinds of refusal that are told apart; beyond that only their number is kept."""
REST = "refused like many others; quarantine is full"
REASON = 300


class Quarantine:
    """The refused messages of one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def note(self, device: str, channel: str, text: str, reason: str) -> None:
        """Keep one refused message, in a step of its own."""
        async with self._ledger.step() as step:
            await self.note_in(step, device, channel, text, reason)

    async def note_in(self, step: Step, device: str, channel: str, text: str, reason: str) -> bool:
        """Keep one refused message in the caller's step; says whether it is the first of its kind."""
        moment = timestamp(self._ledger.clock())
        device, channel, reason = device[:64], channel[:20], reason[:REASON]
        row = await self._known(step, device, channel, reason)
        if row is None and await self._full(step):
            reason = REST
            row = await self._known(step, device, channel, reason)
        if row is not None:
            row.times += 1
            row.last_at = moment
            step.session.add(row)
            return False
        log.warning(
            "%s: %s refused: %s", device, channel, reason
        )  # the first of its kind; the rest is counted
        step.session.add(
            QuarantineRow(
                device=device,
                channel=channel,
                reason=reason,
                first_at=moment,
                last_at=moment,
                times=1,
                size=len(text),
                sha256=sha256_text(text),
                head=text[:HEAD].replace("\0", "\ufffd"),  # no database text holds a zero
            )
        )
        return True

    @staticmethod
    async def _known(step: Step, device: str, channel: str, reason: str) -> QuarantineRow | None:
        found = await step.session.exec(
            select(QuarantineRow).where(
                QuarantineRow.device == device,
                QuarantineRow.channel == channel,
                QuarantineRow.reason == reason,
            )
        )
        return found.one_or_none()

    @staticmethod
    async def _full(step: Step) -> bool:
        count = (await step.session.exec(select(func.count(col(QuarantineRow.id))))).one()
        return count >= ROWS
