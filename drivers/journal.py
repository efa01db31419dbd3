"""The durable journal of one device: what it was ordered, what became of it, and what the agent has not
receipted.

It exists so that nothing is lost and nothing is done twice. Every change of a command's status and the event
that tells of it are one transaction, and each transaction is on the disk (WAL with ``synchronous=FULL``)
before the call returns: ``started`` is therefore durable before anything moves.

``seq`` counts events and results from 1 without gaps and survives restarts. The outbox keeps the exact
text of every message until the agent has receipted it, so what is sent again is the same bytes under the
same ``message_id``.

Calls block for one write to the disk (milliseconds). They are made on the event loop on purpose: a device
must not acknowledge, move or answer before the journal has it, so there is nothing useful to do meanwhile.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast, get_args

from solvus.drivers.messages import CommandStatus, Event, Identifier, Result, new_id

log = logging.getLogger(__name__)

Draft = Callable[[int], Event | Result]
"""Makes the message once its ``seq`` is known."""
Connect = Callable[..., sqlite3.Connection]
"""``sqlite3.connect``, or what stands in for it."""

APPLICATION_ID = 0x534F4C56
"""``SOLV``: marks the file as ours, so that another program's database is never written to."""
FORMAT = 1
UNFINISHED: tuple[CommandStatus, ...] = ("accepted", "started")

_TABLES = """
BEGIN;
CREATE TABLE journal (journal_id TEXT NOT NULL, last_seq INTEGER NOT NULL, receipted INTEGER NOT NULL);
CREATE TABLE commands (
    command_id TEXT PRIMARY KEY, status TEXT NOT NULL, terminal_seq INTEGER, body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY, channel TEXT NOT NULL, command_id TEXT NOT NULL, payload TEXT NOT NULL
);
CREATE INDEX outbox_by_command ON outbox (command_id);
"""


class JournalError(ValueError):
    """The journal cannot be used; a device without a journal must not move. One sentence."""


@dataclass(frozen=True)
class CommandRecord:
    """What is known of one command. ``terminal_seq`` is the ``seq`` of the event that ended it."""

    command_id: Identifier
    status: CommandStatus
    terminal_seq: int | None


@dataclass(frozen=True)
class Outbound:
    """One message of the outbox; ``channel`` is ``event`` or ``result``."""

    seq: int
    channel: str
    payload: str


class Journal:
    """The journal in one SQLite file, held by one process at a time.

    Parameters
    ----------
    path : file; made, with its folder, where it does not exist.
    connect : opens the database; simulations of failing disks put their own here.

    Raises
    ------
    JournalError
        The file is in use by another process, belongs to another program or cannot be written. A damaged
        file is no error: it is moved aside, and a new journal with a new ``journal_id`` begins.
    """

    def __init__(self, path: Path, *, connect: Connect = sqlite3.connect) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = _open_or_replace(path, connect)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"journal: {path} cannot be used ({_reason(error)})") from error
        row = self._database.execute("SELECT journal_id, last_seq, receipted FROM journal").fetchone()
        self.journal_id: str = row[0]
        self.last_seq: int = row[1]
        self.receipted: int = row[2]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def command(self, command_id: str) -> CommandRecord | None:
        """What is known of ``command_id``, or ``None`` when it was never heard of."""
        rows = self._rows(
            "SELECT command_id, status, terminal_seq FROM commands WHERE command_id = ?", (command_id,)
        )
        return CommandRecord(*rows[0]) if rows else None

    def unfinished(self) -> list[CommandRecord]:
        """Commands accepted or started and not ended: after a start, those the last run left behind."""
        rows = self._rows(
            "SELECT command_id, status, terminal_seq FROM commands WHERE status IN (?, ?)", UNFINISHED
        )
        return [CommandRecord(*row) for row in rows]

    def record(
        self, command_id: str, status: CommandStatus, drafts: Sequence[Draft], body: str | None = None
    ) -> int:
        """Set the status of a command and append the messages that tell of it, in one transaction.

        Parameters
        ----------
        drafts : the messages in order; the last one is the event of this status.
        body : text of the command, given the first time it is recorded.

        Returns
        -------
        ``seq`` of the last message.
        """
        with self._transaction():
            seqs = [self._append(draft) for draft in drafts]
            terminal = None if status in UNFINISHED else seqs[-1]
            self._database.execute(
                "INSERT INTO commands (command_id, status, terminal_seq, body) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (command_id) DO UPDATE SET status = excluded.status, "
                "terminal_seq = excluded.terminal_seq",
                (command_id, status, terminal, body or ""),
            )
        return seqs[-1]

    def append(self, draft: Draft) -> int:
        """Append a message that changes no status (progress, answer). Returns its ``seq``."""
        with self._transaction():
            return self._append(draft)

    def next_after(self, seq: int) -> Outbound | None:
        """The first unreceipted message after ``seq``, or ``None``."""
        rows = self._rows(
            "SELECT seq, channel, payload FROM outbox WHERE seq > ? ORDER BY seq LIMIT 1", (seq,)
        )
        return Outbound(*rows[0]) if rows else None

    def first_of(self, command_id: str) -> int | None:
        """``seq`` of the first unreceipted message about ``command_id``, or ``None``."""
        rows = self._rows("SELECT MIN(seq) FROM outbox WHERE command_id = ?", (command_id,))
        return cast("int | None", rows[0][0])

    def receipt(self, up_to_seq: int) -> None:
        """Forget the messages up to and including ``up_to_seq``: they are safe in the ledger."""
        upto = min(up_to_seq, self.last_seq)
        if upto <= self.receipted:
            return
        with self._transaction():
            self._database.execute("UPDATE journal SET receipted = ?", (upto,))
            self._database.execute("DELETE FROM outbox WHERE seq <= ?", (upto,))
        self.receipted = upto

    def _rows(self, query: str, values: tuple[str | int, ...]) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"journal: {self.path} cannot be read ({_reason(error)})") from error

    def _append(self, draft: Draft) -> int:
        seq = self.last_seq + 1
        message = draft(seq)
        self._database.execute("UPDATE journal SET last_seq = ?", (seq,))
        self._database.execute(
            "INSERT INTO outbox (seq, channel, command_id, payload) VALUES (?, ?, ?, ?)",
            (
                seq,
                "event" if isinstance(message, Event) else "result",
                message.command_id,
                message.model_dump_json(by_alias=True),
            ),
        )
        self.last_seq = seq
        return seq

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        before = self.last_seq
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except BaseException as error:
            self.last_seq = before
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise JournalError(f"journal: {self.path} cannot be written ({_reason(error)})") from error
            raise


def _reason(error: Exception) -> str:
    if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process uses it; every device needs a journal of its own"
    return str(error)


def _open_or_replace(path: Path, connect: Connect) -> sqlite3.Connection:
    try:
        return _open(path, connect)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        aside = path.with_name(f"{path.name}.damaged-{new_id()[:8]}")
        for suffix in ("", "-wal", "-shm"):
            file = path.with_name(path.name + suffix)
            if file.exists():
                file.rename(aside.with_name(aside.name + suffix))
        log.error("journal %s is damaged (%s): moved to %s, a new journal begins", path, error, aside.name)
        return _open(path, connect)


def _open(path: Path, connect: Connect) -> sqlite3.Connection:
    """Open, lock and check the file; begin a new journal in an empty one."""
    # No wait for a lock: a second process on the same journal is a mistake that waiting does not cure.
    database = connect(path, timeout=0.0, isolation_level=None)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables == 0:
            marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
            database.executescript(_TABLES + marks)
            database.execute("INSERT INTO journal VALUES (?, 0, 0)", (new_id(),))
            database.execute("COMMIT")
        elif application != APPLICATION_ID:
            raise JournalError(f"journal: {path} is the database of another program; choose another file")
        _check(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _check(database: sqlite3.Connection, path: Path) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version != FORMAT:
        raise JournalError(
            f"journal: {path} has format {version}, this Solvus writes {FORMAT}; choose another file"
        )
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if verdict == "ok" and not tables >= {"journal", "commands", "outbox"}:
        verdict = "tables are missing"
    if verdict == "ok":
        (rows,) = database.execute("SELECT count(*) FROM journal").fetchone()
        statuses = {row[0] for row in database.execute("SELECT DISTINCT status FROM commands")}
        if rows != 1 or not statuses <= set(get_args(CommandStatus)):
            verdict = "rows are not ours"
    if verdict != "ok":
        damaged = sqlite3.DatabaseError(verdict)
        damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damaged
