"""The inbox: what devices say is committed first, acknowledged to the broker second, and worked on third.

Inbound events and results are unique by (device, journal_id, seq); what comes twice is dropped here. A journal is held
without gaps from its *base* on: what a device says was receipted before this ledger knew the device is not ours to ask
for. Only what is held without a gap is receipted, and a device forgets only what is receipted.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlmodel import col, select

from solvus.agent.arrival import range_refusal
from solvus.agent.ledger.canonical import sha256_text
from solvus.agent.ledger.ledger import Ledger, Step, timestamp
from solvus.agent.ledger.tables import CommandRow, InboxRow, JournalRow
from solvus.agent.quarantine import Quarantine
from solvus.agent.transitions import apply_event, apply_result, end_without_result, record_refused
from solvus.drivers.data import load_pattern
from solvus.drivers.messages import Event, Identifier, Result, Seq, new_id
from solvus.models.pattern import PatternError

DAMAGED = "damaged on its way: its bytes are not those its sender gave the digest of"

REMEMBERED = 10_000
"""Refused messages whose repetition is waited for: more are rubbish that somebody makes up."""
JournalKey = tuple[str, str]
"""(device, journal_id)."""


class Envelope(BaseModel):
    """What can often still be read of a message that is refused: which number of its journal it takes up."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    journal_id: Identifier
    seq: Seq = Field(ge=1)
    command_id: Identifier | None = None
    message_id: Identifier = Field(default_factory=new_id)


def _envelope(payload: bytes) -> Envelope | None:
    try:
        return Envelope.model_validate_json(payload)
    except ValidationError:
        return None


class Held:
    """Which ``seq`` of one journal are held; counts the unbroken run from the base."""

    def __init__(self, base: int) -> None:
        self.up_to = base - 1
        self._beyond: set[int] = set()

    def add(self, seq: int) -> None:
        if seq > self.up_to:
            self._beyond.add(seq)
        self._close()

    def skip_to(self, seq: int) -> None:
        """What is receipted up to ``seq`` need not be waited for."""
        self.up_to = max(self.up_to, seq)
        self._beyond = {s for s in self._beyond if s > self.up_to}
        self._close()

    def _close(self) -> None:
        while self.up_to + 1 in self._beyond:
            self.up_to += 1
            self._beyond.discard(self.up_to)


class Inbox:
    """Takes messages in (:meth:`receive`) and works through them (:meth:`work`)."""

    def __init__(self, ledger: Ledger, campaign: str, pattern_folder: Path) -> None:
        self._ledger = ledger
        self.quarantine = Quarantine(ledger)
        self._campaign = campaign
        self._patterns = pattern_folder
        self._held: dict[JournalKey, Held] = {}
        self._waiting = True
        self._refused: dict[tuple[str, str, int], str] = {}
        """Hash of what was last refused under a number of a journal."""

    async def load(self) -> None:
        """Read what earlier runs of the agent hold."""
        seqs: dict[JournalKey, list[int]] = defaultdict(list)
        async with self._ledger.session() as session:
            known = await session.exec(select(InboxRow.device, InboxRow.journal_id, InboxRow.seq))
            for device, journal_id, seq in known.all():
                seqs[device, journal_id].append(seq)
        for row in await self._ledger.rows(JournalRow):
            held = self._held[row.device, row.journal_id] = Held(row.base_seq)
            for seq in seqs[row.device, row.journal_id]:
                held.add(seq)

    def up_to(self, device: str, journal_id: str) -> int | None:
        """Highest ``seq`` up to which everything is held; ``None`` before the journal is known."""
        held = self._held.get((device, journal_id))
        return None if held is None else held.up_to

    async def has_word_of(self, command_id: str, device: str, journal_id: str) -> bool:
        """Whether this journal has said anything of a command."""
        rows = await self._ledger.rows(
            InboxRow,
            InboxRow.device == device,
            InboxRow.journal_id == journal_id,
            col(InboxRow.body).contains(command_id, autoescape=True),
        )
        envelopes = [_envelope(row.body.encode()) for row in rows]
        return any(e is not None and e.command_id == command_id for e in envelopes)

    async def holds(self, device: str, journal_id: str, seq: int) -> bool:
        """Whether the message of this number is here, and not only said to be receipted."""
        return bool(
            await self._ledger.rows(
                InboxRow, InboxRow.device == device, InboxRow.journal_id == journal_id, InboxRow.seq == seq
            )
        )

    async def meet(self, device: str, journal_id: str, receipted: int) -> None:
        """Hear from a state message that this journal exists and what of it was receipted."""
        key = (device, journal_id)
        if key in self._held:
            self._held[key].skip_to(receipted)
            return
        held = Held(receipted + 1)
        async with self._ledger.step() as step:
            step.session.add(JournalRow(device=device, journal_id=journal_id, base_seq=receipted + 1))
            rows = await step.session.exec(
                select(InboxRow.seq).where(InboxRow.device == device, InboxRow.journal_id == journal_id)
            )
            for seq in rows.all():
                held.add(seq)
        self._held[key] = held

    async def receive(self, device: str, channel: str, payload: bytes, *, damaged: bool = False) -> None:
        """Commit one event or result; returning is what acknowledges it. What is no message is refused and noted.

        What was damaged on its way leaves a gap in the numbers, so that it is asked for again.
        """
        text = payload.decode("utf-8", errors="replace")
        if damaged:
            self.quarantine.note(device, channel, text, DAMAGED)
            return
        try:
            message = (Event if channel == "event" else Result).model_validate_json(payload)
        except ValidationError as error:
            await self._refuse(device, channel, text, error, _envelope(payload))
            return
        async with self._ledger.step() as step:
            await self._keep(step, device, channel, message, text)
        self._waiting = True
        self._hold(device, message)

    async def _keep(
        self, step: Step, device: str, channel: str, message: Event | Result | Envelope, text: str
    ) -> bool:
        """Put a message into the inbox unless it is there; what was refused counts as handled. Says if it is new."""
        known = await step.session.exec(
            select(InboxRow.body).where(
                InboxRow.device == device,
                InboxRow.journal_id == message.journal_id,
                InboxRow.seq == message.seq,
            )
        )
        if (before := known.first()) is not None:
            if before != text:
                reason = f"seq {message.seq} of its journal is taken by another message"
                self.quarantine.note(device, channel, text, reason)
            return False
        step.session.add(
            InboxRow(
                device=device,
                journal_id=message.journal_id,
                seq=message.seq,
                channel=channel,
                message_id=message.message_id,
                received_at=timestamp(self._ledger.clock()),
                body=text,
                handled=isinstance(message, Envelope),
            )
        )
        return True

    def _hold(self, device: str, message: Event | Result | Envelope) -> None:
        held = self._held.get((device, message.journal_id))
        if held is not None:
            held.add(message.seq)

    async def _refuse(
        self, device: str, channel: str, text: str, error: ValidationError, envelope: Envelope | None
    ) -> None:
        """Note what is no message. Where its number can be read it is asked for once more, as it may have been damaged
        on its way. The same bytes again are the device's own word: they are kept and receipted like any other, or the
        device would send them for ever, and what follows would never be free of a gap."""
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or channel
        reason = f"{where}: {first['msg']}"
        again = envelope is not None and self._heard_before(device, envelope, text)
        first_of_its_kind = self.quarantine.note(device, channel, text, reason)
        if envelope is None and not first_of_its_kind:
            return
        async with self._ledger.step() as step:
            if not again:
                await self._record_refusal(step, device, channel, text, reason)
            elif envelope is not None and not await self._keep(step, device, channel, envelope, text):
                return
            elif envelope is not None and envelope.command_id is not None:
                await self._end_if_done(step, device, envelope.command_id)
        if again and envelope is not None:
            self._hold(device, envelope)

    def _heard_before(self, device: str, envelope: Envelope, text: str) -> bool:
        """Whether the same bytes were refused under this number the last time something was."""
        key, digest = (device, envelope.journal_id, envelope.seq), sha256_text(text)
        again = self._refused.get(key) == digest
        if len(self._refused) >= REMEMBERED:
            self._refused.clear()
        self._refused[key] = digest
        return again

    async def _record_refusal(self, step: Step, device: str, channel: str, text: str, reason: str) -> None:
        await step.append(
            self._campaign,
            "message-refused",
            {
                "device": device,
                "channel": channel,
                "refused_sha256": sha256_text(text),
                "reason": reason[:500],
            },
        )

    @staticmethod
    async def _end_if_done(step: Step, device: str, command_id: str) -> None:
        command = await step.get(CommandRow, command_id)
        if command is not None and command.device == device:
            await end_without_result(step, command_id)

    async def work(self) -> list[Event]:
        """Apply everything that waits, in order of ``seq``; return the events seen, for who is interested."""
        await self.quarantine.write()
        if not self._waiting:
            return []
        self._waiting = False  # before the rows are read: what comes meanwhile waits again
        whole = {
            key: held.up_to for key, held in self._held.items()
        }  # before the rows, which then hold it all
        rows = await self._ledger.rows(InboxRow, col(InboxRow.handled).is_(False))
        seen: list[Event] = []
        for row in sorted(rows, key=lambda r: (r.device, r.journal_id, r.seq)):
            async with self._ledger.step() as step:
                if row.channel == "event":
                    event = Event.model_validate_json(row.body)
                    await apply_event(step, self._campaign, row.device, event, row.body)
                    # A result comes before its `done`: with nothing missing up to here, none will come.
                    if event.kind == "done" and row.seq <= whole.get((row.device, row.journal_id), 0):
                        await self._end_if_done(step, row.device, event.command_id)
                    seen.append(event)
                else:
                    await self._apply_result(step, row)
                row.handled = True
                step.session.add(row)
        return seen

    async def _apply_result(self, step: Step, row: InboxRow) -> None:
        result = Result.model_validate_json(row.body)
        try:
            pattern = (
                result.pattern if result.reference is None else load_pattern(self._patterns, result.reference)
            )
            if pattern is not None and (refusal := range_refusal(pattern)) is not None:
                raise PatternError(refusal)
        except PatternError as error:
            await record_refused(step, self._campaign, row.device, sha256_text(row.body), str(error))
        else:
            await apply_result(step, self._campaign, row.device, result, pattern, row.body)
        for event in step.events:
            if event.kind == "message-refused":
                self.quarantine.note(row.device, row.channel, row.body, event.body["reason"])
        await self._end_if_done(step, row.device, result.command_id)
