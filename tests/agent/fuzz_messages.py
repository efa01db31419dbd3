"""Coverage-guided fuzzing of everything that arrives: ``python tests/agent/fuzz_messages.py -runs=20000 -seed=1``.

atheris sees which branches of our own code an input takes and breeds inputs that take others. Nothing but a refusal in
a sentence may come of any bytes, on any topic, and what is accepted must go through the ledger and leave it whole.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["solvus"]):
    from solvus.agent.ledger.canonical import canonical
    from solvus.drivers.connection import Inbound
    from solvus.drivers.messages import COMMAND, Event, Result
    from solvus.simulations.benchmarks.faults.run import FAST
    from tests.agent.test_hostile_messages import LAB, Agent

TOPICS = [
    f"solvus/v1/{LAB}/{device}/{channel}"
    for device in ("robot", "nobody")
    for channel in ("state", "describe", "event", "result")
]
# Beginnings that a fuzzer would not find by itself in a few thousand tries.
SEEDS = [
    Event(boot_id="b", journal_id="j", seq=1, command_id="c", kind="failed", cause="chemistry"),
    Event(boot_id="b", journal_id="j", seq=2, command_id="c", kind="answer"),
    Result.model_construct(boot_id="b", journal_id="j", seq=3, command_id="c", sample_id="s"),
]


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="solvus-fuzz-", dir=FAST if FAST.is_dir() else None))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, message in enumerate(SEEDS):
        (corpus / str(number)).write_bytes(
            bytes([2 + number // 2]) + message.model_dump_json(by_alias=True).encode()
        )
    agent = Agent(folder)

    def one_input(data: bytes) -> None:
        if not data:
            return
        topic, payload = TOPICS[data[0] % len(TOPICS)], data[1:]
        assert agent.hear(Inbound(topic, payload, retain=False)) in ("refused", "kept", "known")
        with contextlib.suppress(ValueError):  # a refusal
            canonical(COMMAND.validate_json(payload).model_dump(mode="json"))

    atheris.Setup([sys.argv[0], *sys.argv[1:], str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
