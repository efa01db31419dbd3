"""The wire format for other languages: JSON Schema of every message, and the topics as AsyncAPI 3.0.

Both are derived from :mod:`solvus.drivers.messages` and :mod:`solvus.drivers.topics`; there is no second
source. Specification: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from solvus.drivers.messages import (
    COMMAND,
    AgentStatus,
    Cancel,
    Claim,
    Describe,
    Event,
    Execute,
    Halt,
    Query,
    Receipt,
    Resend,
    Result,
    State,
)
from solvus.drivers.topics import device_topic, status_topic

WIRE_VERSION = "1.1.0"
"""Major as in the topics (``solvus/v1``), minor for fields that are added."""


class _Channel(NamedTuple):
    address: str
    messages: tuple[type[BaseModel], ...]
    sender: str
    retain: bool
    summary: str


def _device(channel: str) -> str:
    return device_topic("{lab}", "{device}", channel)


CHANNELS: dict[str, _Channel] = {
    "state": _Channel(
        _device("state"), (State,), "device", True, "Life cycle and heartbeat; also the last will."
    ),
    "describe": _Channel(_device("describe"), (Describe,), "device", True, "Capabilities and limits."),
    "command": _Channel(
        _device("command"),
        (Execute, Cancel, Query, Receipt, Resend, Claim),
        "agent",
        False,
        "Orders and questions.",
    ),
    "halt": _Channel(
        _device("halt"), (Halt,), "agent", True, "Emergency stop and release, by the agent or an operator."
    ),
    "event": _Channel(_device("event"), (Event,), "device", False, "What became of a command."),
    "result": _Channel(
        _device("result"), (Result,), "device", False, "Measurements, and cheap signals of what was made."
    ),
    "status": _Channel(
        status_topic("{lab}", "{campaign}"),
        (AgentStatus,),
        "agent",
        True,
        "What a campaign does; also the last will.",
    ),
}
"""Every topic of design section 5."""
LEVELS = {
    "lab": "Name of the laboratory: a-z, 0-9 and dashes.",
    "device": "Name of the device: a-z, 0-9 and dashes.",
    "campaign": "Id of the campaign, a dot, and what tells it from one of the same id in another ledger.",
}
"""What the levels of the topics are."""


def json_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (draft 2020-12) of the payload of every channel, by channel name."""
    schemas: dict[str, dict[str, Any]] = {}
    for name, channel in CHANNELS.items():
        if name == "command":
            schemas[name] = COMMAND.json_schema(by_alias=True)
        else:
            schemas[name] = channel.messages[0].model_json_schema(by_alias=True)
    return schemas


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document, ready to be written as YAML or JSON. Seen from the agent: it sends
    commands."""
    models = [message for channel in CHANNELS.values() for message in channel.messages]
    _, definitions = models_json_schema(
        [(model, "validation") for model in models],
        by_alias=True,
        ref_template="#/components/schemas/{model}",
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Solvus laboratory",
            "version": WIRE_VERSION,
            "description": "MQTT 5, QoS 1, JSON. Order and gaps come from (journal_id, seq), never from clocks.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(channel) for name, channel in CHANNELS.items()},
        "operations": {
            _verb(channel) + name.capitalize(): _operation(name, channel)
            for name, channel in CHANNELS.items()
        },
        "components": {
            "messages": {model.__name__: _message(model) for model in models},
            "schemas": definitions["$defs"],
        },
    }


def _channel(channel: _Channel) -> dict[str, Any]:
    levels = [level.strip("{}") for level in channel.address.split("/") if level.startswith("{")]
    return {
        "address": channel.address,
        "description": channel.summary,
        "parameters": {level: {"description": LEVELS[level]} for level in levels},
        "messages": {m.__name__: {"$ref": f"#/components/messages/{m.__name__}"} for m in channel.messages},
    }


def _operation(name: str, channel: _Channel) -> dict[str, Any]:
    return {
        "action": _verb(channel),
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": channel.summary,
        "messages": [{"$ref": f"#/channels/{name}/messages/{m.__name__}"} for m in channel.messages],
        "bindings": {"mqtt": {"qos": 1, "retain": channel.retain, "bindingVersion": "0.2.0"}},
    }


def _verb(channel: _Channel) -> str:
    return "send" if channel.sender == "agent" else "receive"


def _message(model: type[BaseModel]) -> dict[str, Any]:
    return {
        "name": model.__name__,
        "contentType": "application/json",
        "summary": " ".join((model.__doc__ or "").split()),
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
    }
