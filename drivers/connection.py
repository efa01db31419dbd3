"""One MQTT connection that mends itself, over aiomqtt.

MQTT 5 only: 3.1.1 has no reason code in its PUBACK, so a refused message would look delivered. What this
adds to aiomqtt: reconnection with back-off and jitter, subscription anew each time, a last will armed anew
each time, acknowledgement only after the handler has returned (in arrival order), reason codes of PUBACK and
SUBACK checked, a cap on payloads in both directions, and an error rather than a wait when a message cannot
be delivered. Every message carries the SHA-256 of its payload as an MQTT 5 user property, so that what was damaged
on the way is known for that and asked for again; where a broker drops the property nothing else is lost.

Correctness never rests on what the broker remembers. A clean start is the default; ``persistent_session``
lets a broker that handles it well (Mosquitto) keep messages for us, which saves a resend and is needed by
nothing.

Every message goes out with QoS 1. Times in seconds, sizes in bytes.

On Windows asyncio must run its selector event loop (``asyncio.WindowsSelectorEventLoopPolicy``): aiomqtt
watches the socket with ``add_reader``, which the default loop there lacks.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from solvus.drivers.broker_address import BrokerAddress, BrokerUnreachable, explain
from solvus.drivers.checked_client import CheckedClient, properties_for

log = logging.getLogger(__name__)

PAYLOAD_CAP = 16 * 1024 * 1024
"""The brokers that Solvus starts refuse what is larger (design section 5)."""
PACKET_OVERHEAD = 64 * 1024
"""Room for topic and properties beside the payload; MQTT caps a topic at 64 KiB."""
FIRST_DELAY, LAST_DELAY = 0.2, 15.0
"""Pause before the first attempt to reconnect, doubled up to the last: a restarted local broker is back in
0.2 s, and a laboratory that is down for an hour is not hammered."""
STEADY = 5.0
"""A session that lasted this long was a good one: the next pause is the first again."""
SESSION_KEPT = 24 * 3600
"""How long a broker keeps a persistent session for us: a night and a morning."""
DIGEST = "sha256"
"""User property with the digest of the payload."""
RECEIVE_MAXIMUM = 64
"""Unacknowledged messages a broker may have under way to us; back-pressure where the broker honours it."""


class NotDelivered(Exception):  # noqa: N818 -- says what happened, as the caller needs it
    """The broker has not confirmed a message: not connected, refused, or no answer in time."""


@dataclass(frozen=True)
class Inbound:
    """One message as it arrived."""

    topic: str
    payload: bytes
    retain: bool
    """True when the broker had it stored; a live message of a retained topic has False."""
    damaged: bool = False
    """True when the payload is not the one its sender gave the digest of."""


@dataclass(frozen=True)
class LastWill:
    """What the broker publishes for us, retained, when we vanish."""

    topic: str
    payload: bytes


Handler = Callable[[Inbound], Awaitable[None]]
"""Takes one message; it is acknowledged when this returns. When it raises, the connection ends at once:
the message stays unacknowledged, the broker publishes the will, and :meth:`Connection.finished` raises the
same."""
Hook = Callable[[], Awaitable[None]]
Transport = Callable[..., CheckedClient]
"""Makes the MQTT client of one session from the arguments of :class:`aiomqtt.Client`; simulations have their own."""


class Connection:
    """One client of one broker.

    ``start`` (or ``connect_or_fail``) begins, ``stop`` ends; between them it reconnects by itself.

    Parameters
    ----------
    client_id : fixed name of this client; two clients of one name throw each other out.
    subscriptions : topic filters, subscribed with QoS 1 at each connect.
    handler : awaited for one message after the other, in arrival order.
    on_connect : run after each (re)subscription, beside the handler. When it raises :class:`NotDelivered` the
        connection is made anew.
    will : called before each connect, so that a will has the current ``boot_id`` and a fresh ``message_id``.
    persistent_session : ask the broker to keep our session; needs a broker that resumes cleanly.
    keepalive : the broker declares us dead after one and a half times this.
    timeout : for one answer of the broker.
    transport : makes the client of each session.
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        *,
        subscriptions: tuple[str, ...] = (),
        handler: Handler | None = None,
        on_connect: Hook | None = None,
        will: Callable[[], LastWill] | None = None,
        persistent_session: bool = False,
        keepalive: int = 15,
        timeout: float = 5.0,
        payload_cap: int = PAYLOAD_CAP,
        transport: Transport = CheckedClient,
    ) -> None:
        self.address = address
        self.client_id = client_id
        self.connected = asyncio.Event()
        self._subscriptions = subscriptions
        self._handler = handler
        self._on_connect = on_connect
        self._will = will
        self._persistent = persistent_session
        self._keepalive = keepalive
        self._timeout = timeout
        self._cap = payload_cap
        self._transport = transport
        self._client: CheckedClient | None = None
        self._over: asyncio.Future[None] | None = None
        self._publishing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._reason = ""
        self._jitter = random.Random(client_id)  # noqa: S311 -- spreads reconnections, guards no secret

    def start(self) -> None:
        """Connect in the background and stay connected until :meth:`stop`."""
        if self._task is None:
            self._task = asyncio.create_task(self._supervise(), name=f"mqtt {self.client_id}")

    async def connect_or_fail(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109 -- how long to go on trying
        """Start, and return when connected and subscribed.

        Raises
        ------
        BrokerUnreachable
            No session within ``timeout`` seconds; the connection is stopped.
        """
        self.start()
        try:
            async with asyncio.timeout(timeout):
                await self.connected.wait()
        except TimeoutError:
            await self.stop()
            silent = explain(self.address, TimeoutError("no answer in time"), aiomqtt.MqttError())
            raise BrokerUnreachable(self._reason or silent) from None

    async def finished(self) -> None:
        """Wait until the connection has ended; raises what its handler raised."""
        if (task := self._task) is not None:
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    async def stop(self) -> None:
        """Disconnect cleanly: the broker does not publish the will."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None

    async def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, expires_in: float | None = None
    ) -> None:
        """Publish with QoS 1 and return when the broker has confirmed it.

        Parameters
        ----------
        expires_in : seconds after which the broker forgets what it has not delivered.

        Raises
        ------
        NotDelivered
            Not connected, refused by the broker, or not confirmed in time. It may have arrived nevertheless.
        """
        if len(payload) > self._cap:
            raise NotDelivered(f"{topic}: {len(payload)} bytes are over the cap of {self._cap}")
        properties = properties_for(PacketTypes.PUBLISH)
        properties.UserProperty = (DIGEST, sha256(payload).hexdigest())
        if expires_in is not None:
            properties.MessageExpiryInterval = max(1, math.ceil(expires_in))
        async with self._publishing:  # one at a time, so that the reason code is that of this message
            client, over = self._client, self._over
            if client is None or over is None or over.done():
                raise NotDelivered(f"{topic}: not connected to the broker at {self.address}")
            client.puback = None
            sending = asyncio.create_task(
                client.publish(topic, payload, qos=1, retain=retain, properties=properties)
            )
            try:
                await asyncio.wait({sending, over, client.lost}, return_when=asyncio.FIRST_COMPLETED)
                if not sending.done():
                    raise NotDelivered(f"{topic}: the connection to {self.address} broke")
                sending.result()
            except aiomqtt.MqttError as error:
                undelivered = NotDelivered(f"{topic}: the broker at {self.address} did not confirm ({error})")
                # A late PUBACK would be taken for the next message's, so this session ends here.
                if not over.done():
                    over.set_exception(undelivered)
                raise undelivered from error
            finally:
                sending.cancel()
            if client.puback is not None and client.puback.is_failure:
                raise NotDelivered(f"{topic}: refused by the broker ({client.puback})")

    async def _supervise(self) -> None:
        delay = FIRST_DELAY
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._session()
            except BrokerUnreachable as error:
                repeated, self._reason = self._reason == str(error), str(error)
                log.log(logging.DEBUG if repeated else logging.WARNING, "%s: %s", self.client_id, error)
            except (aiomqtt.MqttError, NotDelivered) as error:
                self._reason = f"the connection to the broker at {self.address} broke ({error})"
                log.warning("%s: %s", self.client_id, self._reason)
            _heed_cancellation()
            delay = FIRST_DELAY if loop.time() - began > STEADY else min(2 * delay, LAST_DELAY)
            await asyncio.sleep(delay * self._jitter.uniform(0.5, 1.0))

    async def _session(self) -> None:
        """One connection from CONNECT to its end; raises what ended it."""
        client = self._new_client()
        try:
            async with client:
                await self._subscribe(client)
                _heed_cancellation()
                await self._serve(client)
        except aiomqtt.MqttError as error:
            if client.was_connected:
                raise
            raise BrokerUnreachable(explain(self.address, client.os_error, error)) from error
        finally:
            client.abandon()

    async def _serve(self, client: CheckedClient) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        tasks = {asyncio.create_task(self._read(client))}
        self._client, self._over = client, over
        self.connected.set()
        log.info("%s: connected to the broker at %s", self.client_id, self.address)
        if self._on_connect is not None:
            tasks.add(asyncio.ensure_future(self._on_connect()))
        try:
            done, _ = await asyncio.wait({over, client.lost, *tasks}, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self.connected.clear()
            self._client = self._over = None
            over.cancel()
            await _end(tasks)
        # What the handler raised counts for more than the loss of the connection, which is only mended.
        errors = [error for task in done if not task.cancelled() and (error := task.exception()) is not None]
        error = min(errors, key=lambda error: isinstance(error, (aiomqtt.MqttError, NotDelivered)))
        if not isinstance(error, (aiomqtt.MqttError, NotDelivered)):
            client.abandon()  # without a good-bye, so that the broker publishes the will
        raise error

    async def _read(self, client: CheckedClient) -> None:
        async for message in client.messages:
            payload = message.payload
            if len(payload) > self._cap:
                log.error("%s: %d bytes are over the cap; ignored", message.topic, len(payload))
            elif self._handler is not None:
                damaged = _damaged(payload, message.properties)
                await self._handler(Inbound(str(message.topic), payload, message.retain, damaged))
            client.acknowledge(message)
            _heed_cancellation()

    async def _subscribe(self, client: CheckedClient) -> None:
        for topic in self._subscriptions:
            for code in await client.subscribe(topic, qos=1):
                if getattr(code, "is_failure", False):
                    raise BrokerUnreachable(
                        f"the broker at {self.address} refuses the subscription to {topic} ({code}); "
                        "allow it in the broker's access list"
                    )

    def _new_client(self) -> CheckedClient:
        properties = properties_for(PacketTypes.CONNECT)
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = self._cap + PACKET_OVERHEAD
        if self._persistent:
            properties.SessionExpiryInterval = SESSION_KEPT
        address, will, tls = self.address, self._will() if self._will is not None else None, self.address.tls
        client = self._transport(
            address.host,
            address.port,
            identifier=self.client_id,
            username=address.username,
            password=None if address.password is None else address.password.get_secret_value(),
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=not self._persistent,
            properties=properties,
            keepalive=self._keepalive,
            timeout=self._timeout,
            will=None if will is None else _armed(will),
            tls_params=None
            if tls is None
            else aiomqtt.TLSParameters(
                ca_certs=str(tls.ca),
                certfile=None if tls.certificate is None else str(tls.certificate),
                keyfile=None if tls.key is None else str(tls.key),
            ),
        )
        client.prepare(self._timeout)
        return client


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel and await; when this is cancelled itself, it leaves none of them behind."""
    for task in tasks:
        task.cancel()
    while not all(task.done() for task in tasks):
        with suppress(asyncio.CancelledError):
            await asyncio.wait(tasks)
    _heed_cancellation()


def _heed_cancellation() -> None:
    """End the running task if it was cancelled, when it has gone on nevertheless.

    :func:`asyncio.wait_for`, on which aiomqtt waits, loses a cancellation that comes in the moment its future is done
    (Python 3.11, cpython issue 86296): whoever stops the connection would then wait for it for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _armed(will: LastWill) -> aiomqtt.Will:
    properties = properties_for(PacketTypes.WILLMESSAGE)
    properties.UserProperty = (DIGEST, sha256(will.payload).hexdigest())
    return aiomqtt.Will(will.topic, will.payload, qos=1, retain=True, properties=properties)


def _damaged(payload: bytes, properties: Properties | None) -> bool:
    """Whether the payload is not the one of the digest beside it; what comes without one is taken as it is."""
    given = [value for name, value in getattr(properties, "UserProperty", ()) if name == DIGEST]
    return bool(given) and given[-1] != sha256(payload).hexdigest()
