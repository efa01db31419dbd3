"""Where the MQTT broker is, how to log in, and what to say when that leads nowhere."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Self

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator


class BrokerUnreachable(ValueError):  # noqa: N818 -- says what happened, as the user reads it
    """The configured address leads to no broker that takes us. One sentence that says what to change."""


class TlsFiles(BaseModel):
    """TLS towards the broker: the authority that signed it and, where it asks for one, our certificate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("tls: certificate and key belong together; give both or neither")
        for name, file in (("ca", self.ca), ("certificate", self.certificate), ("key", self.key)):
            if file is not None and not file.is_file():
                raise ValueError(f"tls.{name}: no file {file}")
        return self


class BrokerAddress(BaseModel):
    """Where the broker is and how to log in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Annotated[str, StringConstraints(min_length=1, max_length=253)] = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65535)
    username: str | None = None
    password: SecretStr | None = None
    tls: TlsFiles | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def explain(address: BrokerAddress, os_error: OSError | None, error: aiomqtt.MqttError) -> str:
    """One sentence on why no session came about, with what to change."""
    if isinstance(os_error, ssl.SSLError):
        return f"TLS with the broker at {address} fails ({os_error}); correct broker.tls or broker.port"
    if os_error is not None:
        why = (os_error.strerror or str(os_error)).lower()
        return (
            f"no MQTT broker answers at {address} ({why}); "
            "start one with `solvus broker` or correct broker.host/port"
        )
    if isinstance(error, aiomqtt.MqttCodeError) and isinstance(error.rc, ReasonCode):
        return f"the broker at {address} refuses us ({error.rc}); correct broker.username and password"
    # The embedded broker says nothing at all to a wrong password.
    return (
        f"the broker at {address} takes the connection and then says nothing; "
        "check broker.port (is it MQTT 5?), username and password"
    )
