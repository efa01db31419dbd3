"""Every message on the wire as a pydantic model; nothing else is ever accepted from a broker.

The body carries all that correctness needs (ids, ``boot_id``, ``journal_id``, ``seq``, ``expires_at``), so
that a recording of the payloads, or a broker that drops MQTT 5 properties, loses nothing.

Ordering comes from ``(journal_id, seq)``, never from clocks. ``seq`` counts the events and results of one
device from 1 upwards without gaps and survives restarts; ``state`` and ``describe`` repeat the highest number
given out so far, so that a listener sees at once that it has missed something.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import uuid4

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    TypeAdapter,
    model_serializer,
    model_validator,
)

from solvus.drivers.combination import Combination
from solvus.models.pattern import Pattern

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""A topic level: lower case, digits and dashes."""
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]
Text = Annotated[str, StringConstraints(max_length=2000)]
Value = Annotated[float, Field(allow_inf_nan=False)] | Annotated[str, StringConstraints(max_length=200)]
"""The value of one parameter: a finite number or the name of a choice."""

PATTERN_INLINE_LIMIT = 1_000_000
"""Bytes of payload above which a pattern travels as a reference (design section 5)."""


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # no ValueError, so pydantic would let it through to whoever listens
        raise ValueError("is no time that UTC can express") from error


Utc = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Seq = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""A number of a device's journal: what the integer column of every database can hold."""


clock: ContextVar[Callable[[], datetime]] = ContextVar("clock", default=lambda: datetime.now(UTC))
"""What stamps messages; set, like :data:`ids`, by simulations whose every byte must repeat."""
ids: ContextVar[Callable[[], str]] = ContextVar("ids", default=lambda: uuid4().hex)
"""Where new identifiers come from."""


def now() -> datetime:
    return clock.get()()


def new_id() -> str:
    return ids.get()()


class Message(BaseModel):
    """What every payload carries."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    message_id: Identifier = Field(default_factory=new_id)
    sent_at: Utc = Field(default_factory=now)
    boot_id: Identifier


class DeviceMessage(Message):
    """What every payload from a device carries besides."""

    journal_id: Identifier
    seq: Seq


class ParameterSpec(BaseModel):
    """One parameter a device takes, with its limits: the device is the boundary and refuses the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Identifier
    kind: Literal["continuous", "integer", "categorical"]
    unit: Annotated[str, StringConstraints(max_length=40)] = ""
    lower: float | None = None
    upper: float | None = None
    choices: tuple[str, ...] = ()
    max_step: float | None = Field(default=None, gt=0.0)
    """How far the value may be from that of the order before."""

    @model_validator(mode="after")
    def _limits_fit_the_kind(self) -> Self:
        if self.kind == "categorical":
            if not self.choices or any(v is not None for v in (self.lower, self.upper, self.max_step)):
                raise ValueError(f"{self.name}: a categorical parameter needs choices and no limits")
        elif self.choices or self.lower is None or self.upper is None or not self.lower < self.upper:
            raise ValueError(f"{self.name}: a {self.kind} parameter needs lower < upper and no choices")
        return self

    def refusal(self, value: Value) -> str | None:
        """One sentence that says why ``value`` is not acceptable, or ``None``."""
        if self.kind == "categorical":
            if value not in self.choices:
                return f"{self.name}: {value!r} is not one of {', '.join(self.choices)}"
            return None
        assert self.lower is not None and self.upper is not None  # noqa: S101 -- held by the validator above
        if isinstance(value, str):
            return f"{self.name}: needs a number in {self.unit or 'its unit'}, not {value!r}"
        if not self.lower <= value <= self.upper:
            quantity = f"{value:g} {self.unit}".rstrip()
            return f"{self.name}: {quantity} is outside {self.lower:g} to {self.upper:g}"
        if self.kind == "integer" and value != int(value):
            return f"{self.name}: {value:g} is not a whole number"
        return None


class Capability(BaseModel):
    """Something a device can be ordered to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Name
    parameters: tuple[ParameterSpec, ...] = ()
    combinations: tuple[Combination, ...] = ()
    """Limits on several parameters together."""


class State(DeviceMessage):
    """Retained, and the last will (then ``lost``). A will with a stale ``boot_id`` is ignored."""

    schema_: Literal["solvus.state/1"] = Field(default="solvus.state/1", alias="schema")
    state: Literal["init", "ready", "busy", "fault", "lost"]
    heartbeat_at: Utc = Field(default_factory=now)
    detail: Text = ""
    receipted: Seq = 0
    """Highest ``seq`` of this journal that an agent has receipted: what a new listener need not wait for."""
    halted: Literal["no", "stopping", "idle", "unsafe"] = "no"
    """After an emergency stop, until it is released: whether the hardware has become idle."""
    held_by: Annotated[str, StringConstraints(max_length=128)] = ""
    """The campaign that holds the device, as :class:`Claim` names it; empty when none does."""


class Describe(DeviceMessage):
    """Retained: what the device is and takes."""

    schema_: Literal["solvus.describe/1"] = Field(default="solvus.describe/1", alias="schema")
    device: Name
    driver: Identifier
    driver_version: Identifier
    simulated: bool
    capabilities: tuple[Capability, ...]


class Execute(Message):
    """Do ``action`` once, and not after ``expires_at``. ``experiment`` counts within the campaign;
    ``replicate`` is 0 for a first synthesis of a recipe and counts up when the same recipe is made again."""

    schema_: Literal["solvus.command/1"] = Field(default="solvus.command/1", alias="schema")
    kind: Literal["execute"] = "execute"
    command_id: Identifier
    expires_at: Utc
    action: Name
    parameters: dict[Identifier, Value] = {}
    sample_id: Identifier
    campaign: Name
    experiment: int = Field(ge=1)
    replicate: int = Field(default=0, ge=0)
    claim: Identifier | None = None
    """The holder in whose name the order is given; a device that is held takes orders of its holder only."""


class Cancel(Message):
    schema_: Literal["solvus.command/1"] = Field(default="solvus.command/1", alias="schema")
    kind: Literal["cancel"] = "cancel"
    command_id: Identifier
    """The command to cancel."""
    expires_at: Utc


class Query(Message):
    """Ask what became of these commands; answered by an ``answer`` event each time."""

    schema_: Literal["solvus.command/1"] = Field(default="solvus.command/1", alias="schema")
    kind: Literal["query"] = "query"
    command_id: Identifier = Field(default_factory=new_id)
    expires_at: Utc
    command_ids: tuple[Identifier, ...]


class Receipt(Message):
    """All events and results of ``journal_id`` up to and including ``up_to_seq`` are safe in the ledger."""

    schema_: Literal["solvus.command/1"] = Field(default="solvus.command/1", alias="schema")
    kind: Literal["receipt"] = "receipt"
    command_id: Identifier = Field(default_factory=new_id)
    expires_at: Utc
    journal_id: Identifier
    up_to_seq: Seq


class Resend(Message):
    """Publish again the description, and everything from ``from_seq`` on that is not receipted."""

    schema_: Literal["solvus.command/1"] = Field(default="solvus.command/1", alias="schema")
    kind: Literal["resend"] = "resend"
    command_id: Identifier = Field(default_factory=new_id)
    expires_at: Utc
    from_seq: Seq = Field(ge=1)


class Claim(Message):
    """Hold the device for one campaign, for ``lease`` seconds from now; 0 gives it back. What came of it stands in the
    device's state (``held_by``)."""

    schema_: Literal["solvus.command/1"] = Field(default="solvus.command/1", alias="schema")
    kind: Literal["claim"] = "claim"
    command_id: Identifier = Field(default_factory=new_id)
    expires_at: Utc
    holder: Identifier
    lease: float = Field(ge=0.0, le=86_400.0)


Command = Annotated[Execute | Cancel | Query | Receipt | Resend | Claim, Field(discriminator="kind")]

CommandStatus = Literal[
    "unheard", "accepted", "started", "done", "failed", "rejected", "expired", "interrupted"
]
"""What a device knows of a command; ``unheard``: it has no record of that id."""


class CommandAnswer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    command_id: Identifier
    status: CommandStatus
    terminal_seq: Seq | None = None
    """The ``seq`` of the event that ended it, to ask for again with ``resend``."""


class Event(DeviceMessage):
    """What happened to a command. ``failed`` says whether the chemistry failed (which teaches the planner) or
    the equipment (which does not). ``answer`` replies to a query and its ``command_id`` is the query's."""

    schema_: Literal["solvus.event/1"] = Field(default="solvus.event/1", alias="schema")
    seq: Seq = Field(ge=1)
    command_id: Identifier
    kind: Literal[
        "accepted", "rejected", "expired", "started", "progress", "done", "failed", "interrupted", "answer"
    ]
    reason: Text = ""
    cause: Literal["chemistry", "equipment"] | None = None
    fraction: float | None = Field(default=None, ge=0.0, le=1.0)
    answers: tuple[CommandAnswer, ...] = ()

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> Self:
        if (self.kind == "failed") != (self.cause is not None):
            raise ValueError("cause: belongs to a failed event, and to no other")
        if self.answers and self.kind != "answer":
            raise ValueError("answers: belong to an answer event only")
        return self


class PatternReference(BaseModel):
    """A pattern too large for the wire, by content. The bytes are the canonical JSON of a Pattern, found in
    the laboratory's data folder under their own hash: no path ever comes off the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: Annotated[str, StringConstraints(pattern=r"^solvus-data:[0-9a-f]{64}$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size: int = Field(gt=0)

    @model_validator(mode="after")
    def _uri_is_the_hash(self) -> Self:
        if self.uri.removeprefix("solvus-data:") != self.sha256:
            raise ValueError("uri: must be solvus-data: followed by the sha256")
        return self


class Signal(BaseModel):
    """One number that a cheap look at a sample gives, such as where its plasmon peak is.

    ``sd`` is the standard uncertainty, in the same unit; ``None`` where the device does not know it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float
    sd: float | None = Field(default=None, ge=0.0)
    unit: Annotated[str, StringConstraints(max_length=40)] = ""


Signals = Annotated[dict[Identifier, Signal], Field(max_length=50)]
"""Cheap signals of one sample by name."""


class Result(DeviceMessage):
    """A measurement, published before the ``done`` event of the command that ordered it: a pattern, and cheap signals
    of the sample such as a flow cell gives. A synthesis that gives signals has a result without a pattern."""

    schema_: Literal["solvus.result/1"] = Field(default="solvus.result/1", alias="schema")
    seq: Seq = Field(ge=1)
    command_id: Identifier
    sample_id: Identifier
    pattern: Pattern | None = None
    reference: PatternReference | None = None
    signals: Signals = {}

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.pattern is not None and self.reference is not None:
            raise ValueError("pattern: give either the pattern or a reference to it")
        if self.pattern is None and self.reference is None and not self.signals:
            raise ValueError("pattern: give either the pattern or a reference to it, or signals")
        return self

    @model_serializer(mode="wrap")
    def _without_absent_signals(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A result without signals is the message that it was before there were any: older agents read it."""
        written: dict[str, Any] = serialise(self)
        if not self.signals:
            written.pop("signals", None)
        return written


class Halt(Message):
    """Emergency stop of one device, or the release from it. Retained, so that a device that is down hears of it when it
    is back; honoured however old it is."""

    schema_: Literal["solvus.halt/1"] = Field(default="solvus.halt/1", alias="schema")
    kind: Literal["halt", "release"] = "halt"
    by: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    reason: Text = ""


AgentState = Literal["starting", "running", "waiting", "stopped", "found", "exhausted", "lost"]


class AgentStatus(Message):
    """Retained, and the agent's last will (then ``lost``)."""

    schema_: Literal["solvus.agent-status/1"] = Field(default="solvus.agent-status/1", alias="schema")
    campaign: Name
    state: AgentState
    detail: Text = ""
    experiments: int = Field(default=0, ge=0)
    devices: tuple[Name, ...] = ()
    """Which devices the campaign works with; all of the laboratory where it does not say."""


COMMAND = TypeAdapter[Execute | Cancel | Query | Receipt | Resend | Claim](Command)
