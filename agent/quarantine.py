"""Where refused messages are kept: what came, from where, why it was refused, and how often.

A message that is refused changes nothing, so it does not belong into the chain of decisions; but a person must be able
to see what was refused and why. One row holds all refusals of one channel of one device for one reason, with the first
of them, so that a device (or somebody in its name) that sends rubbish all night fills no disk. They are noted in memory
and written together at the loop's next turn: a wait for the disk for each would let rubbish hold up what matters.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlmodel import select

from solvus.agent.ledger.canonical import sha256_text
from solvus.agent.ledger.ledger import Ledger, Step, timestamp
from solvus.agent.ledger.tables import QuarantineRow

log = logging.getLogger(__name__)

HEAD = 2000
"""Characters kept of the first message of each kind."""
KINDS = 5000
"""Kinds of refusal that are told apart in one run; beyond that only their number is kept."""
REST = "refused like many others; quarantine is full"
REASON = 300


Kind = tuple[str, str, str]
"""(device, channel, reason)."""


@dataclass
class _Refused:
    """Refusals of one kind that are not written yet: the first of them, and how many."""

    head: str
    size: int
    sha256: str
    first_at: str
    last_at: str
    times: int = 1


class Quarantine:
    """The refused messages of one ledger; :meth:`note` them, and :meth:`write` what was noted."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._noted: dict[Kind, _Refused] = {}
        self._known: set[Kind] = set()

    def note(self, device: str, channel: str, text: str, reason: str) -> bool:
        """Remember one refused message; says whether it is the first of its kind in this run."""
        moment = timestamp(self._ledger.clock())
        kind = (device[:64], channel[:20], reason[:REASON])
        if kind not in self._known and len(self._known) >= KINDS:
            kind = (*kind[:2], REST)
        first = kind not in self._known
        if first:
            self._known.add(kind)
            log.warning("%s: %s refused: %s", *kind)  # the rest of its kind is counted
        if (refused := self._noted.get(kind)) is not None:
            refused.times += 1
            refused.last_at = moment
        else:
            kept = text[:HEAD].replace("\0", "\ufffd")  # no database text holds a zero
            self._noted[kind] = _Refused(kept, len(text), sha256_text(text), moment, moment)
        return first

    async def write(self) -> None:
        """Write what was noted since the last time, in one step."""
        if not self._noted:
            return
        noted, self._noted = self._noted, {}
        async with self._ledger.step() as step:
            for kind, refused in noted.items():
                await self._add(step, kind, refused)

    @staticmethod
    async def _add(step: Step, kind: Kind, refused: _Refused) -> None:
        device, channel, reason = kind
        found = await step.session.exec(
            select(QuarantineRow).where(
                QuarantineRow.device == device,
                QuarantineRow.channel == channel,
                QuarantineRow.reason == reason,
            )
        )
        row = found.one_or_none()
        if row is None:
            row = QuarantineRow(device=device, channel=channel, reason=reason, **vars(refused))
        else:
            row.times += refused.times
            row.last_at = refused.last_at
        step.session.add(row)
