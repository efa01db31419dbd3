"""The aiomqtt client with what aiomqtt drops: the operating system's error, the reason code of a PUBACK, and
acknowledgement by hand.

Private members of aiomqtt and paho are used here and nowhere else; the version is pinned for it and the
contract tests of both brokers hold it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Self

import aiomqtt
from paho.mqtt.client import Client
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode


def properties_for(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho leaves it unannotated


class CheckedClient(aiomqtt.Client):
    """See the module."""

    os_error: OSError | None = None
    was_connected = False
    puback: ReasonCode | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.was_connected = True
        # aiomqtt forgets a loss between the broker's welcome and this line, and would wait for ever to hear of it.
        if not self._client.is_connected():
            self._lock.release()
            raise aiomqtt.MqttError("the broker ended the session as it began")
        return self

    def prepare(self, timeout: float) -> None:
        self._client.manual_ack_set(True)
        self._client.connect_timeout = timeout

    @property
    def lost(self) -> asyncio.Future[None]:
        """Fails when the connection breaks."""
        return self._disconnected

    def acknowledge(self, message: aiomqtt.Message) -> None:
        self._client.ack(message.mid, message.qos)

    def abandon(self) -> None:
        """Close a socket that a failed or cancelled connect has left open; what becomes of it is nobody's concern."""
        for outcome in (self._connected, self._disconnected):
            outcome.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._client._sock_close()

    def _client_connect(self) -> None:
        try:
            super()._client_connect()
        except OSError as error:
            self.os_error = error
            raise

    def _on_publish(
        self, client: Client, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        self.puback = reason_code
        super()._on_publish(client, userdata, mid, reason_code, properties)
