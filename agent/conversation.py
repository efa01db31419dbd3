"""The agent's side of the wire: hear the devices, know who is there, ask for what is missing, receipt what is safe.

After each connection everybody is asked and nobody guesses: what became of my orders, and what did I miss?
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from solvus.agent.bench import Bench
from solvus.agent.campaign import Campaign
from solvus.agent.inbox import DAMAGED, Inbox, JournalKey
from solvus.agent.ledger.ledger import Clock, Ledger
from solvus.agent.ledger.tables import CommandRow
from solvus.agent.limits import LimitError
from solvus.agent.neighbours import HEARTBEAT, refuse_beside_another
from solvus.agent.outbox import Outbox, open_commands
from solvus.agent.states import CommandState
from solvus.drivers.checked_client import CheckedClient
from solvus.drivers.connection import Connection, Inbound, LastWill, NotDelivered, Transport
from solvus.drivers.limits import narrowed
from solvus.drivers.messages import (
    AgentStatus,
    Capability,
    Claim,
    CommandAnswer,
    Describe,
    Event,
    Halt,
    ParameterSpec,
    State,
    new_id,
)
from solvus.drivers.presence import DevicePresence, Presence
from solvus.drivers.topics import DeviceTopic, halt_topics, listen_topics, parse, status_topic

log = logging.getLogger(__name__)


class Conversation:
    """Everything between the ledger and the broker.

    Parameters
    ----------
    bench : the devices of this campaign and where to reach them.
    changed : called when something was heard, so that the loop looks around.
    name : of the agent on the wire, the same after ``--resume``. Campaigns of one id in two ledgers need names that
        differ: under one name the broker throws one of them out when the other connects, and the last will of one
        would call the other lost.
    """

    def __init__(
        self,
        campaign_id: str,
        campaign: Campaign,
        bench: Bench,
        ledger: Ledger,
        clock: Clock,
        changed: Callable[[], None],
        transport: Transport = CheckedClient,
        *,
        name: str | None = None,
    ) -> None:
        self.boot_id = new_id()
        self.devices = frozenset((*bench.synthesis, *bench.measurement))
        self.presence = Presence(timedelta(seconds=campaign.timing.device_silent))
        self.halts: list[tuple[str, Halt]] = []
        """Emergency stops heard and not yet taken note of, by device."""
        self._id = campaign_id
        self._lab = bench.laboratory.name
        name = name or campaign_id
        self._topic = status_topic(self._lab, name)
        self._limits = {device.id: device.safety() for device in bench.laboratory.devices}
        self._address = bench.address
        self._transport = transport
        self._external = bench.laboratory.broker.kind == "external"
        self._ledger = ledger
        self._clock = clock
        self._changed = changed
        self._patience = timedelta(seconds=campaign.timing.republish)
        self._laboratory = frozenset(device.id for device in bench.laboratory.devices) | self.devices
        self._orders: Sequence[CommandRow] = ()
        self._read_at: tuple[int, str] | None = None
        self._undescribed: dict[str, datetime] = {}
        self._idle_since: dict[str, datetime] = {}
        self._inbox = Inbox(ledger, campaign_id, bench.laboratory.pattern_folder)
        self._connection = Connection(
            bench.address,
            f"solvus-agent-{self._lab}-{name}",
            subscriptions=(*listen_topics(self._lab), halt_topics(self._lab)),
            handler=self._receive,
            on_connect=self._on_connect,
            will=self._will,
            persistent_session=bench.laboratory.broker.keeps_sessions,
            transport=transport,
        )
        self.outbox = Outbox(ledger, self._connection, campaign, self._lab, self.boot_id, clock)
        self._receipted: dict[JournalKey, int] = {}
        self._asked: dict[JournalKey, tuple[int, datetime]] = {}
        self._status = AgentStatus(boot_id=self.boot_id, campaign=campaign_id, state="starting")
        self._told_at = clock()
        self._reborn: set[str] = set()
        self._life: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, unless another agent works at the laboratory.

        Only at an external broker can one: the one that was started for this run is nobody else's.

        Raises
        ------
        BrokerUnreachable, LaboratoryTaken
            One sentence each.
        """
        if self._external:
            await refuse_beside_another(self._address, self._lab, self.devices, transport=self._transport)
        await self._inbox.load()
        await self._connection.connect_or_fail()
        self._life = asyncio.create_task(self._connection.finished())
        self._life.add_done_callback(lambda _: self._changed())

    async def close(self) -> None:
        await self._connection.stop()
        with suppress(SQLAlchemyError):  # it may be why the campaign ends, and is told elsewhere
            await self._inbox.quarantine.write()
        if self._life is not None:
            await asyncio.wait({self._life})

    def missing(self) -> list[str]:
        """Devices of the campaign that are not there or have not said what they are."""
        here = self._present()
        return sorted(d for d in self.devices if d not in here or self._known(d).describe is None)

    def ready(self) -> frozenset[str]:
        """Devices that are there and free."""
        return frozenset(d for d in self._present() if self._state(d) == "ready")

    def limits(self, devices: Iterable[str], action: str) -> list[ParameterSpec]:
        """What these devices themselves say they accept for ``action``.

        Raises
        ------
        LimitError
            When one of them cannot do it at all.
        """
        return [spec for c in self.capabilities(devices, action).values() for spec in c.parameters]

    def capabilities(self, devices: Iterable[str], action: str) -> dict[str, Capability]:
        """What each of these devices takes for ``action``, within what it says itself and what the laboratory file says
        of it. Raises as :meth:`limits` does."""
        found: dict[str, Capability] = {}
        for device in devices:
            described = self._known(device).describe
            said = () if described is None else described.capabilities
            if action not in {c.action for c in said}:
                can = ", ".join(sorted(c.action for c in said)) or "nothing yet"
                raise LimitError(f"devices: {device} cannot {action}; it offers {can}")
            try:
                within = narrowed(said, self._limits[device], simulated=True, driver=device)
            except ValueError as error:
                raise LimitError(f"{device}: {error}; correct the laboratory file") from error
            found[device] = next(c for c in within if c.action == action)
        return found

    def descriptions(self) -> dict[str, Describe]:
        """What each device has said it is."""
        described = {d: self._known(d).describe for d in sorted(self.devices)}
        return {d: description for d, description in described.items() if description is not None}

    def silent(self) -> dict[str, float | None]:
        """Devices that are not there, with the seconds since they last spoke; ``None`` for one never heard."""
        here, silences = self._present(), self._silences()
        return {d: silences.get(d) for d in sorted(self.devices - here)}

    def why_not(self, device: str) -> str | None:
        """Why a device takes no order now, in words; ``None`` when it takes one or is at work on one of ours."""
        state = self._known(device).state
        if device not in self._present():
            said = "has vanished" if state is not None and state.state == "lost" else "is silent"
            silence = self._silences().get(device)
            since = "never heard by this run" if silence is None else f"last heard {silence:.0f} s ago"
            return f"{device} {said} ({since}); no order goes to it until it is heard"
        if state is None or state.state in ("ready", "busy"):
            return None
        return f"{device} is not ready ({state.state}: {state.detail or 'it does not say why'})"

    def held_by(self, device: str) -> str | None:
        """The holder that a device names; empty when nobody holds it, ``None`` before it has spoken."""
        state = self._known(device).state
        return None if state is None else state.held_by

    async def claim(self, device: str, holder: str, lease: float) -> None:
        """Ask a device to be held, or with a lease of 0 to be let go; what comes of it stands in its state."""
        message = Claim(
            boot_id=self.boot_id,
            expires_at=self._clock() + timedelta(seconds=120),
            holder=holder,
            lease=lease,
        )
        await self.outbox.send(device, message)

    def words(self) -> dict[str, str]:
        """Each device's state for the eye."""
        here = self._present()
        return {d: (self._state(d) or "?") if d in here else "not heard" for d in sorted(self.devices)}

    def _known(self, device: str) -> DevicePresence:
        return self.presence.devices.get(device, DevicePresence())

    def _state(self, device: str) -> str | None:
        state = self._known(device).state
        return None if state is None else state.state

    def _present(self) -> frozenset[str]:
        return frozenset(d for d in self.devices if self.presence.is_present(d, self._clock()))

    def _silences(self) -> dict[str, float]:
        """Seconds since each device was last heard."""
        heard = {d: self._known(d).heard_at for d in self.devices}
        return {d: (self._clock() - at).total_seconds() for d, at in heard.items() if at is not None}

    async def attend(self) -> None:
        """One round: work through the inbox, ask again, send and chase orders, give receipts.

        Raises what ended the connection for good: a message that could not be committed to the ledger.
        """
        if self._life is not None and self._life.done():
            self._life.result()
        for event in await self._inbox.work():
            await self._note(event)
        await self._ask_for_what_is_missing()
        commands = open_commands(await self.commands())
        await self._ask_the_reborn(commands)
        await self._ask_the_idle(commands)
        await self.outbox.attend(commands, self._present())
        await self.outbox.mark_lost(commands, self._silences())
        await self._give_receipts()

    async def tell(self, status: AgentStatus) -> None:
        """Publish the status when it says something new, and else as a heartbeat."""
        stamp = {"message_id", "sent_at"}
        new = status.model_dump(exclude=stamp) != self._status.model_dump(exclude=stamp)
        if new or self._clock() - self._told_at >= timedelta(seconds=HEARTBEAT):
            await self.publish_status(status)

    async def publish_status(self, status: AgentStatus) -> None:
        self._status, self._told_at = status, self._clock()
        try:
            await self._connection.publish(
                self._topic, status.model_dump_json(by_alias=True).encode(), retain=True
            )
        except NotDelivered as error:
            log.info("status not published: %s", error)

    # --- in ---

    async def _receive(self, message: Inbound) -> None:
        topic = parse(message.topic)
        if topic is None or topic.device not in self._laboratory:
            device, _, channel = message.topic.rpartition("/")
            reason = f"laboratory {self._lab} has no such device"
            self._refuse(device.rpartition("/")[2], channel, message, reason)
            return
        if topic.device not in self.devices:
            return  # another campaign's
        if topic.channel in ("state", "describe"):
            await self._hear(topic, message)
        elif topic.channel == "halt":
            self._hear_halt(topic.device, message)
        elif topic.channel == "command":
            return  # our own; an agent has no business with others'
        elif message.retain:
            reason = f"a retained {topic.channel} is nobody's message"
            self._refuse(topic.device, topic.channel, message, reason)
        else:
            await self._inbox.receive(topic.device, topic.channel, message.payload, damaged=message.damaged)
        self._changed()

    def _refuse(self, device: str, channel: str, message: Inbound, reason: str) -> None:
        self._inbox.quarantine.note(
            device, channel, message.payload.decode("utf-8", errors="replace"), reason
        )

    async def _hear(self, topic: DeviceTopic, message: Inbound) -> None:
        """A state or description; what is no such message is refused. It is not asked for again: the next comes."""
        if message.damaged:
            self._refuse(topic.device, topic.channel, message, DAMAGED)
            return
        try:
            if topic.channel == "describe":
                said = Describe.model_validate_json(message.payload)
                if said.device != topic.device:
                    reason = f"device: it describes {said.device}"
                    self._refuse(topic.device, topic.channel, message, reason)
                    return
                self.presence.hear_describe(topic.device, said)
                return
            state = State.model_validate_json(message.payload)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or topic.channel
            self._refuse(topic.device, topic.channel, message, f"{where}: {first['msg']}")
            return
        before = self._known(topic.device).boot_id
        if self.presence.hear_state(topic.device, state, self._clock(), retained=message.retain):
            if before not in (None, state.boot_id):
                self._reborn.add(topic.device)
            await self._inbox.meet(topic.device, state.journal_id, state.receipted)

    def _hear_halt(self, device: str, message: Inbound) -> None:
        """An emergency stop that is told now; of one that was told before the device's own state speaks."""
        try:
            halt = Halt.model_validate_json(message.payload)
        except ValidationError as error:
            log.warning("%s: halt not understood: %s", device, error.errors()[0]["msg"])
            return
        if halt.kind == "halt" and not message.retain:
            self.halts.append((device, halt))

    async def _on_connect(self) -> None:
        self._receipted.clear()
        self._asked.clear()
        await self.publish_status(self._status)
        by_device: dict[str, list[str]] = {}
        for row in open_commands(await self.commands()):
            by_device.setdefault(row.device, []).append(row.command_id)
        for device, command_ids in by_device.items():
            await self.outbox.query(device, tuple(command_ids))
        self._changed()

    async def _ask_the_reborn(self, commands: Iterable[CommandRow]) -> None:
        """A device that has booted anew may have lost its journal, and with it what it was doing."""
        for device in sorted(self._reborn & self._present()):
            if ids := tuple(row.command_id for row in commands if row.device == device):
                await self.outbox.query(device, ids)
            self._reborn.discard(device)

    async def _ask_the_idle(self, commands: Iterable[CommandRow]) -> None:
        """A device that is free, with nothing of its journal missing here, while an order is under way with it: one
        of the two has forgotten, and the device knows which."""
        whole = {device for device, _, seq, held in self._journals() if seq <= held}
        free, now = self.ready() & whole, self._clock()
        for row in commands:
            under_way = CommandState(row.state) in (CommandState.ACCEPTED, CommandState.STARTED)
            if not under_way or row.device not in free:
                self._idle_since.pop(row.command_id, None)
            elif now - self._idle_since.setdefault(row.command_id, now) > self._patience:
                self._idle_since[row.command_id] = now
                await self.outbox.query(row.device, (row.command_id,))

    def _will(self) -> LastWill:
        lost = AgentStatus(
            boot_id=self.boot_id,
            campaign=self._id,
            state="lost",
            detail="the agent vanished",
            experiments=self._status.experiments,
        )
        return LastWill(self._topic, lost.model_dump_json(by_alias=True).encode())

    async def _note(self, event: Event) -> None:
        """What an event means besides its arrow: answers to our questions."""
        for answer in event.answers:
            await self._heed(answer, event.journal_id)

    async def _heed(self, answer: CommandAnswer, journal_id: str) -> None:
        for row in await self._ledger.rows(CommandRow, CommandRow.command_id == answer.command_id):
            held = self._inbox.up_to(row.device, journal_id) or 0
            if answer.status == "unheard":
                # An answer that crossed its order on the way: the journal that answers has taken the order since.
                if not await self._inbox.has_word_of(answer.command_id, row.device, journal_id):
                    await self.outbox.not_heard_of(row)
            elif answer.terminal_seq is not None and held < answer.terminal_seq:
                await self.outbox.resend(row.device, held + 1)
            elif answer.terminal_seq is not None and not await self._inbox.holds(
                row.device, journal_id, answer.terminal_seq
            ):
                await self.outbox.told_to_another(row, answer.status)

    async def ask_for_descriptions(self) -> None:
        """A device that lives and whose description never came, or came damaged, is asked for it."""
        await self._inbox.quarantine.write()
        now = self._clock()
        for device in sorted(self._present()):
            known = self._known(device)
            if known.describe is not None:
                self._undescribed.pop(device, None)
            elif now - self._undescribed.setdefault(device, now) > self._patience:
                self._undescribed[device] = now
                held = None if known.journal_id is None else self._inbox.up_to(device, known.journal_id)
                await self.outbox.resend(device, (held or 0) + 1)

    async def _ask_for_what_is_missing(self) -> None:
        """A device whose newest ``seq`` is beyond what is held, and stays so, is asked to send the rest again."""
        for device, key, seq, held in self._journals():
            if seq <= held:
                continue
            asked = self._asked.get(key)
            if asked is None or asked[0] != held:
                self._asked[key] = (held, self._clock())  # what was just published may still be on its way
            elif self._clock() - asked[1] > self._patience:
                self._asked[key] = (held, self._clock())
                await self.outbox.resend(device, held + 1)

    async def _give_receipts(self) -> None:
        for device, key, _, held in self._journals():
            if held > self._receipted.get(key, 0) and await self.outbox.receipt(device, key[1], held):
                self._receipted[key] = held

    def _journals(self) -> list[tuple[str, JournalKey, int, int]]:
        """(device, journal, newest seq the device has told of, seq up to which all is held)."""
        found = []
        for device in sorted(self.devices):
            known = self._known(device)
            held = None if known.journal_id is None else self._inbox.up_to(device, known.journal_id)
            if known.journal_id is not None and held is not None:
                found.append((device, (device, known.journal_id), known.announced_seq, held))
        return found

    async def commands(self) -> Sequence[CommandRow]:
        """The campaign's orders; read anew when the ledger has grown, as only its events change them."""
        head = self._ledger.head
        if self._read_at != head:
            self._orders = await self._ledger.rows(CommandRow, CommandRow.campaign == self._id)
            self._read_at = head
        return self._orders
