"""Resources that tests share, and how to draw domain objects at random.

A test that needs something this machine lacks is skipped, unless ``SOLVUS_REQUIRE`` (comma list of ``shared``,
``mosquitto``, ``postgres``) names it: then it fails, so that a gate cannot go green by skipping.

The strategies are registered by type: ``strategies.from_type(Event)`` draws a valid event in any test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from solvus.drivers.broker import EmbeddedBroker, MosquittoBroker, find_mosquitto
from solvus.drivers.messages import (
    AgentStatus,
    Cancel,
    Capability,
    CommandAnswer,
    Describe,
    Event,
    Execute,
    ParameterSpec,
    PatternReference,
    Query,
    Receipt,
    Resend,
    Result,
    State,
)
from solvus.models.pattern import X_UNIT_OF, Conditions, Pattern

settings.register_profile("solvus", derandomize=True, deadline=None)
settings.load_profile("solvus")


def require(name: str, condition: bool, reason: str) -> None:
    """Skip the test when ``condition`` fails, or fail it where ``name`` is required."""
    if condition:
        return
    if name in os.environ.get("SOLVUS_REQUIRE", "").split(","):
        pytest.fail(f"{name} is required here: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of measured patterns and golden values beside the repository."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    require("shared", folder.is_dir(), f"no folder {folder}")
    return folder


@pytest.fixture(scope="session")
def mosquitto() -> Path:
    """The mosquitto binary."""
    binary = find_mosquitto()
    require("mosquitto", binary is not None, "mosquitto is not installed")
    assert binary is not None
    return binary


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """``postgresql+asyncpg://`` address of a server whose data may be thrown away."""
    url = os.environ.get("SOLVUS_TEST_POSTGRES", "")
    require("postgres", bool(url), "SOLVUS_TEST_POSTGRES names no server")
    return url


@pytest.fixture(params=["embedded", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedBroker | MosquittoBroker]:
    """A running broker of either kind; what holds for one must hold for the other."""
    if request.param == "mosquitto":
        request.getfixturevalue("mosquitto")
    kind = EmbeddedBroker if request.param == "embedded" else MosquittoBroker
    with kind(folder=tmp_path / "broker") as running:
        yield running


identifiers = st.text("abcXYZ019._:-", min_size=1, max_size=40)
names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
numbers = st.floats(allow_nan=False, allow_infinity=False)
years = datetime(2000, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 -- hypothesis adds the zone itself
moments = st.datetimes(*years, timezones=st.just(UTC))
seqs = st.integers(1, 2**31 - 1)


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    """Curves of every quantity, with and without uncertainties and conditions."""
    quantity = draw(st.sampled_from(sorted(X_UNIT_OF)))
    n = draw(st.integers(20, 40))
    step = draw(st.floats(1e-3, 10.0))
    values = st.lists(st.floats(-1e6, 1e6), min_size=n, max_size=n)
    errors = st.lists(st.floats(0.0, 1e6), min_size=n, max_size=n)
    qmin = draw(st.none() | st.floats(0.0, 5.0))
    conditions = Conditions(
        radiation=draw(st.sampled_from(["xray", "neutron"])),
        qmin=qmin,
        qmax=draw(st.none() | st.floats(6.0, 100.0)),
        qdamp=draw(st.none() | st.floats(0.0, 0.5)),
        composition=draw(st.none() | texts),
    )
    return Pattern(
        quantity=quantity,
        x_unit=X_UNIT_OF[quantity],
        x=np.arange(n) * step,
        y=draw(values),
        dy=draw(st.none() | errors),
        conditions=conditions,
    )


@st.composite
def parameter_specs(draw: st.DrawFn) -> ParameterSpec:
    name, unit = draw(identifiers), draw(st.text("KmLh/% ", max_size=10))
    kind = draw(st.sampled_from(["continuous", "integer", "categorical"]))
    if kind == "categorical":
        choices = tuple(draw(st.lists(texts, min_size=1, max_size=4, unique=True)))
        return ParameterSpec(name=name, kind=kind, unit=unit, choices=choices)
    lower, width = draw(st.floats(-1e9, 1e9)), draw(st.floats(1e-3, 1e9))
    return ParameterSpec(name=name, kind=kind, unit=unit, lower=lower, upper=lower + width)


any_message = {"message_id": identifiers, "sent_at": moments, "boot_id": identifiers}
from_device = {**any_message, "journal_id": identifiers, "seq": seqs}
order = {**any_message, "command_id": identifiers, "expires_at": moments}
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
references = st.builds(
    lambda sha, size: PatternReference(uri=f"solvus-data:{sha}", sha256=sha, size=size), hashes, seqs
)
answers = st.builds(CommandAnswer, command_id=identifiers, terminal_seq=st.none() | seqs)
events = st.one_of(
    st.builds(
        Event,
        **from_device,
        command_id=identifiers,
        kind=st.sampled_from(
            ["accepted", "rejected", "expired", "started", "progress", "done", "interrupted"]
        ),
        reason=texts,
        cause=st.none(),
        fraction=st.none() | st.floats(0.0, 1.0),
        answers=st.just(()),
    ),
    st.builds(
        Event,
        **from_device,
        command_id=identifiers,
        kind=st.just("failed"),
        reason=texts,
        cause=st.sampled_from(["chemistry", "equipment"]),
        fraction=st.none(),
        answers=st.just(()),
    ),
    st.builds(
        Event,
        **from_device,
        command_id=identifiers,
        kind=st.just("answer"),
        reason=texts,
        cause=st.none(),
        fraction=st.none(),
        answers=st.lists(answers, max_size=4).map(tuple),
    ),
)
capabilities = st.builds(
    Capability, action=names, parameters=st.lists(parameter_specs(), max_size=3).map(tuple)
)

STRATEGIES: dict[type, st.SearchStrategy] = {
    Pattern: patterns(),
    ParameterSpec: parameter_specs(),
    PatternReference: references,
    Event: events,
    State: st.builds(State, **from_device, heartbeat_at=moments, detail=texts),
    Describe: st.builds(
        Describe,
        **from_device,
        device=names,
        driver=identifiers,
        driver_version=identifiers,
        capabilities=st.lists(capabilities, max_size=3).map(tuple),
    ),
    Execute: st.builds(
        Execute,
        **order,
        action=names,
        parameters=st.dictionaries(identifiers, numbers | texts, max_size=4),
        sample_id=identifiers,
        campaign=names,
        experiment=seqs,
        replicate=seqs,
    ),
    Cancel: st.builds(Cancel, **order),
    Query: st.builds(Query, **order, command_ids=st.lists(identifiers, max_size=4).map(tuple)),
    Receipt: st.builds(Receipt, **order, journal_id=identifiers, up_to_seq=seqs),
    Resend: st.builds(Resend, **order, from_seq=seqs),
    Result: st.builds(
        Result,
        **from_device,
        command_id=identifiers,
        sample_id=identifiers,
        pattern=patterns(),
        reference=st.none(),
    )
    | st.builds(
        Result,
        **from_device,
        command_id=identifiers,
        sample_id=identifiers,
        pattern=st.none(),
        reference=references,
    ),
    AgentStatus: st.builds(AgentStatus, **any_message, campaign=names, detail=texts, experiments=seqs),
}
for domain_type, strategy in STRATEGIES.items():
    st.register_type_strategy(domain_type, strategy)
