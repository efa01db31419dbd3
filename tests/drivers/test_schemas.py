"""The wire format is published whole, and every reference in it leads somewhere."""

from __future__ import annotations

import json

import pytest

from solvus.drivers.schemas import asyncapi, json_schemas
from solvus.drivers.topics import CHANNELS, RETAINED, device_topic, status_topic


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def follow(document, reference):
    assert reference.startswith("#/")
    for part in reference[2:].split("/"):
        document = document[part]
    return document


def test_every_topic_of_the_design_is_in_the_document():
    addresses = {channel["address"] for channel in asyncapi()["channels"].values()}
    expected = {device_topic("{lab}", "{device}", channel) for channel in CHANNELS}
    assert addresses == expected | {status_topic("{lab}", "{campaign}")}


def test_the_document_is_whole():
    document = json.loads(json.dumps(asyncapi()))  # plain data
    assert document["asyncapi"] == "3.0.0"
    for reference in references(document):
        follow(document, reference)
    for name, channel in document["channels"].items():
        placeholders = {part.strip("{}") for part in channel["address"].split("/") if part.startswith("{")}
        assert placeholders == set(channel["parameters"])
        (operation,) = [
            o for o in document["operations"].values() if o["channel"]["$ref"] == f"#/channels/{name}"
        ]
        assert operation["bindings"]["mqtt"]["retain"] == (name in RETAINED)
        assert operation["action"] == ("send" if name in ("command", "status", "halt") else "receive")


@pytest.mark.parametrize("channel", [*CHANNELS, "status"])
def test_each_payload_has_a_schema_that_forbids_more(channel):
    schema = json_schemas()[channel]
    for reference in references(schema):
        follow(schema, reference)
    bodies = [follow(schema, option["$ref"]) for option in schema.get("oneOf", [])] or [schema]
    assert len(bodies) == (6 if channel == "command" else 1)
    for body in bodies:
        assert body["additionalProperties"] is False
        assert {"schema", "message_id", "sent_at", "boot_id"} <= set(body["properties"])
