"""Every message survives the wire, and what is not one is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from solvus.drivers.acceptance import refusal
from solvus.drivers.messages import (
    COMMAND,
    AgentStatus,
    Cancel,
    Capability,
    Describe,
    Event,
    Execute,
    ParameterSpec,
    Query,
    Receipt,
    Resend,
    Result,
    State,
)
from solvus.drivers.topics import AGENT, CHANNELS, device_topic, parse

COMMANDS = (Execute, Cancel, Query, Receipt, Resend)
FROM_DEVICE = (State, Describe, Event, Result)


@given(st.one_of(*(st.from_type(kind) for kind in (*COMMANDS, *FROM_DEVICE, AgentStatus))))
def test_a_message_survives_the_wire(message):
    text = message.model_dump_json(by_alias=True)
    back = type(message).model_validate_json(text)
    assert back == message
    assert back.model_dump_json(by_alias=True) == text
    assert json.loads(text)["schema"].startswith("solvus.")


@given(st.one_of(*(st.from_type(kind) for kind in COMMANDS)))
def test_a_command_is_recognised_by_its_kind(command):
    assert COMMAND.validate_json(command.model_dump_json(by_alias=True)) == command


@given(
    st.from_type(Event),
    st.text(max_size=20).filter(lambda name: name not in Event.model_json_schema()["properties"]),
)
def test_an_unknown_field_is_refused(event, name):
    payload = json.loads(event.model_dump_json(by_alias=True)) | {name: 1}
    with pytest.raises(ValidationError):
        Event.model_validate_json(json.dumps(payload))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_no_parameter_is_infinite_or_not_a_number(make_order, number):
    text = make_order().model_dump_json(by_alias=True).replace('"seconds":0.0', f'"seconds":{number}')
    assert number in text
    with pytest.raises(ValidationError):
        COMMAND.validate_json(text)


def test_a_time_without_zone_is_refused_and_any_zone_becomes_utc(make_order):
    order = json.loads(make_order().model_dump_json(by_alias=True))
    with pytest.raises(ValidationError, match="timezone"):
        COMMAND.validate_json(json.dumps(order | {"expires_at": "2026-01-01T12:00:00"}))
    moved = COMMAND.validate_json(json.dumps(order | {"expires_at": "2026-01-01T12:00:00+02:00"}))
    assert moved.model_dump(mode="json")["expires_at"] == "2026-01-01T10:00:00Z"


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00"])
def test_a_time_beyond_the_calendar_is_refused_and_kills_nobody(make_order, moment):
    payload = json.loads(make_order().model_dump_json(by_alias=True)) | {"expires_at": moment}
    with pytest.raises(ValidationError, match="no time that UTC can express"):
        COMMAND.validate_json(json.dumps(payload))


@given(st.from_type(ParameterSpec), st.data())
def test_a_parameter_is_refused_exactly_outside_its_limits(spec, data):
    if spec.kind == "categorical":
        assert all(spec.refusal(choice) is None for choice in spec.choices)
        assert spec.refusal("\x00 no such choice") is not None
        return
    inside = data.draw(st.floats(spec.lower, spec.upper))
    assert (spec.refusal(inside) is None) == (spec.kind == "continuous" or inside == int(inside))
    outside = data.draw(
        st.floats(spec.upper, exclude_min=True, allow_infinity=False)
        | st.floats(max_value=spec.lower, exclude_max=True, allow_infinity=False)
    )
    reason = spec.refusal(outside)
    assert reason is not None and reason.startswith(f"{spec.name}: ")


@given(st.lists(st.from_type(ParameterSpec), max_size=4, unique_by=lambda spec: spec.name), st.data())
def test_an_order_is_accepted_exactly_when_every_parameter_is(specs, data):
    values = {
        spec.name: data.draw(
            st.sampled_from(spec.choices) if spec.kind == "categorical" else st.integers(-10, 10).map(float)
        )
        for spec in specs
    }
    order = data.draw(st.from_type(Execute)).model_copy(update={"action": "make", "parameters": values})
    capability = Capability(action="make", parameters=tuple(specs))
    reasons = [spec.refusal(values[spec.name]) for spec in specs]
    assert (refusal(order, (capability,)) is None) == all(reason is None for reason in reasons)
    assert refusal(order, ()) is not None
    if specs:
        short = order.model_copy(update={"parameters": dict(list(values.items())[1:])})
        assert "missing" in (refusal(short, (capability,)) or "")


@given(
    st.sampled_from(CHANNELS),
    st.from_regex(r"[a-z0-9-]{1,10}", fullmatch=True),
    st.from_regex(r"[a-z0-9-]{1,10}", fullmatch=True),
)
def test_a_topic_is_parsed_back(channel, lab, device):
    if device == AGENT:
        with pytest.raises(ValueError, match="reserved"):
            device_topic(lab, device, channel)
        return
    parsed = parse(device_topic(lab, device, channel))
    assert parsed is not None
    assert (parsed.lab, parsed.device, parsed.channel) == (lab, device, channel)


@given(st.text(max_size=60))
def test_no_other_topic_is_taken_for_ours(topic):
    parsed = parse(topic)
    assert parsed is None or str(parsed) == topic
