"""What a device writes down, and thereby says: events and results, stamped and put into the journal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from solvus.drivers.driver import Driver
from solvus.drivers.journal import Draft, Journal
from solvus.drivers.messages import (
    Capability,
    CommandAnswer,
    Describe,
    Event,
    Execute,
    PatternReference,
    Result,
    Signals,
)
from solvus.drivers.speaker import TEXT_LIMIT
from solvus.models.pattern import Pattern

log = logging.getLogger(__name__)

Cause = Literal["chemistry", "equipment"]


@dataclass(frozen=True)
class Scribe:
    """Writes for one boot of one device; ``wake`` tells whoever publishes that there is something new."""

    journal: Journal
    boot_id: str
    clock: Callable[[], datetime]
    wake: Callable[[], None]

    def record(
        self,
        command_id: str,
        status: Literal["accepted", "rejected", "expired", "started", "failed", "interrupted"],
        *,
        reason: str = "",
        cause: Cause | None = None,
        body: str | None = None,
    ) -> None:
        """Set a status and append the event that tells of it, in one transaction."""
        event = self._event(command_id, status, reason=reason, cause=cause)
        self.journal.record(command_id, status, [event], body)
        self.wake()
        log.info("%s %s %s", status, command_id, reason)

    def done(self, order: Execute, measured: Pattern | PatternReference | Signals | None) -> None:
        """Result, ``done`` and status in one transaction: there is never one without the others."""
        drafts = [] if measured is None else [self._result(order, measured)]
        self.journal.record(order.command_id, "done", [*drafts, self._event(order.command_id, "done")])
        self.wake()
        log.info("done %s", order.command_id)

    def progress(self, command_id: str, fraction: float | None, words: str) -> None:
        self.journal.append(self._event(command_id, "progress", reason=words, fraction=fraction))
        self.wake()

    def answer(self, command_id: str, command_ids: tuple[str, ...]) -> None:
        """Say under ``command_id`` what is known of ``command_ids``."""
        answers = tuple(self._known(each) for each in command_ids)
        self.journal.append(self._event(command_id, "answer", answers=answers))
        self.wake()

    def description(self, device: str, driver: Driver, capabilities: tuple[Capability, ...]) -> Describe:
        return Describe(
            **self._stamp(self.journal.last_seq),
            device=device,
            driver=driver.name,
            driver_version=driver.version,
            simulated=driver.simulated,
            capabilities=capabilities,
        )

    def _known(self, command_id: str) -> CommandAnswer:
        known = self.journal.command(command_id)
        if known is None:
            return CommandAnswer(command_id=command_id, status="unheard")
        return CommandAnswer(command_id=command_id, status=known.status, terminal_seq=known.terminal_seq)

    def _event(self, command_id: str, kind: str, *, reason: str = "", **fields: Any) -> Draft:
        said = {"command_id": command_id, "kind": kind, "reason": reason[:TEXT_LIMIT], **fields}
        return lambda seq: Event.model_validate(self._stamp(seq) | said)

    def _result(self, order: Execute, measured: Pattern | PatternReference | Signals) -> Draft:
        said: dict[str, Any] = {"command_id": order.command_id, "sample_id": order.sample_id}
        if isinstance(measured, dict):
            said["signals"] = measured
        else:
            said["pattern" if isinstance(measured, Pattern) else "reference"] = measured
        return lambda seq: Result.model_validate(self._stamp(seq) | said)

    def _stamp(self, seq: int) -> dict[str, Any]:
        ids = {"boot_id": self.boot_id, "journal_id": self.journal.journal_id, "seq": seq}
        return ids | {"sent_at": self.clock()}
