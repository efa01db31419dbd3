"""Cheap signals of a sample: from the driver through the journal onto the wire, and not at the price of the product."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from solvus.drivers.driver import Driver, Progress
from solvus.drivers.execution import measure, sparing
from solvus.drivers.journal import Journal
from solvus.drivers.messages import Capability, Event, Execute, Result, Signal, Signals, now
from solvus.drivers.schemas import json_schemas
from solvus.drivers.scribe import Scribe
from solvus.models.pattern import Pattern

SIGNALS = {"plasmon_wavelength": Signal(value=525.0, sd=2.0, unit="nm"), "absorbance": Signal(value=0.8)}
HEAD: dict[str, Any] = {
    "boot_id": "b",
    "journal_id": "j",
    "seq": 1,
    "command_id": "c",
    "sample_id": "s",
}


class Nothing(BaseModel):
    """No settings."""


class Reactor(Driver):
    """A flow reactor that is looked into."""

    name: ClassVar[str] = "reactor"
    version: ClassVar[str] = "1"
    simulated: ClassVar[bool] = True
    Settings: ClassVar[type[BaseModel]] = Nothing

    def __init__(self, sees: Any) -> None:
        super().__init__(Nothing())
        self._sees = sees

    def capabilities(self) -> tuple[Capability, ...]:
        return (Capability(action="synthesise"),)

    async def execute(self, order: Execute, progress: Progress) -> Signals:
        return self._sees  # type: ignore[no-any-return]


def order() -> Execute:
    return Execute(
        boot_id="b",
        command_id="c",
        expires_at=now() + timedelta(minutes=1),
        action="synthesise",
        sample_id="s",
        campaign="c",
        experiment=1,
    )


async def seen(sees: Any) -> Any:
    return await measure(Reactor(sees), order(), sparing(lambda fraction, words: None), None)


async def test_what_a_driver_sees_goes_out_before_its_done(tmp_path: Path) -> None:
    signals = await seen(SIGNALS)
    with Journal(tmp_path / "journal") as journal:
        scribe = Scribe(journal, "b", now, lambda: None)
        scribe.record("c", "accepted", body=order().model_dump_json(by_alias=True))
        scribe.done(order(), signals)
        said = [journal.next_after(seq) for seq in (1, 2)]
    assert said[0] is not None and said[1] is not None
    result = Result.model_validate_json(said[0].payload)
    assert result.signals == SIGNALS and result.pattern is None and result.sample_id == "s"
    assert Event.model_validate_json(said[1].payload).kind == "done"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"x": {"value": math.nan}}, "finite"),
        ({"x": {"value": "blue"}}, "number"),
        ({"not a name": SIGNALS["absorbance"]}, "pattern"),
        ({"x": {"value": 1.0, "sd": -1.0}}, "greater"),
    ],
)
async def test_signals_that_cannot_be_sent_cost_themselves_alone(
    bad: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await seen(bad) is None
    assert "signals cannot be sent" in caplog.text and why in caplog.text
    with pytest.raises(ValidationError, match=why):
        Result.model_validate({**HEAD, "signals": bad})


def test_a_result_without_signals_is_the_message_that_it_was() -> None:
    pattern = Pattern(x=np.arange(30) * 0.1, y=np.sin(np.arange(30)))
    text = Result(**HEAD, pattern=pattern).model_dump_json(by_alias=True)
    assert "signals" not in json.loads(text)
    assert Result.model_validate_json(text).signals == {}
    assert "signals" in Result(**HEAD, signals=SIGNALS).model_dump()
    with pytest.raises(ValidationError, match="or signals"):
        Result(**HEAD)
    signal = json_schemas()["result"]["$defs"]["Signal"]
    assert set(signal["properties"]) == {"value", "sd", "unit"} and signal["additionalProperties"] is False
