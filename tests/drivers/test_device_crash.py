"""A device in a process of its own, killed at the worst moment."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from solvus.drivers.broker import BrokerStartError


@pytest.mark.parametrize(
    "broker", ["embedded", pytest.param("mosquitto", marks=pytest.mark.slow)], indirect=True
)
async def test_killed_while_it_worked_it_says_interrupted_and_never_repeats(
    served, listener, make_order, tmp_path
):
    order = make_order(seconds=30.0)
    process = served()
    await listener.until(lambda: listener.state == "ready")
    await listener.send(order)
    await listener.until(lambda: "started" in listener.kinds(order.command_id))
    process.kill()
    process.wait()
    served()
    await listener.until(lambda: listener.kinds(order.command_id)[-1:] == ["interrupted"])
    await listener.until(lambda: listener.state == "ready")
    await listener.send(order)  # the agent asks once more: the answer is the same, and nothing moves
    await listener.until(lambda: listener.repeats)
    probe = make_order()
    await listener.send(probe)
    await listener.until(lambda: listener.kinds(probe.command_id)[-1:] == ["done"])
    moves = (tmp_path / "moves.log").read_text().splitlines()
    assert moves.count(f"begin {order.command_id}") == 1
    assert moves[2:4] == ["open", "idle"]  # made safe before anything else
    assert listener.kinds(order.command_id).count("interrupted") == 1
    numbers = sorted(seq for _, seq in listener.heard)
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.slow
async def test_killed_again_and_again_every_order_has_one_end(served, listener, make_order, tmp_path):
    """SIGKILL at four moments around an order; whatever was accepted ends once and is begun at most once."""
    orders = []
    for pause in (0.0, 0.002, 0.02, 0.15):
        process = served()
        listener.states.clear()
        await listener.until(lambda: listener.state == "ready")
        order = make_order(seconds=0.1)
        orders.append(order)
        await listener.send(order)
        await asyncio.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
    served()
    listener.states.clear()
    await listener.until(lambda: listener.state == "ready")
    await listener.until(lambda: sorted(s for _, s in listener.heard)[-1:] >= [listener.states[-1][0].seq])
    moves = (tmp_path / "moves.log").read_text().splitlines()
    for order in orders:
        kinds = listener.kinds(order.command_id)
        ends = [kind for kind in kinds if kind in ("done", "interrupted", "failed")]
        assert len(ends) == (1 if kinds else 0)
        assert moves.count(f"begin {order.command_id}") <= 1
        assert ("started" in kinds) >= (f"begin {order.command_id}" in moves)  # started is durable first


@pytest.mark.parametrize(
    "broker", ["embedded", pytest.param("mosquitto", marks=pytest.mark.slow)], indirect=True
)
async def test_a_device_stops_when_its_parent_is_gone(served, listener):
    process = served("--with-parent")
    await listener.until(lambda: listener.state == "ready")
    process.stdin.close()
    await listener.until(lambda: listener.state == "lost")
    assert process.wait(10) == 0
    process.stdin = None


async def test_a_broker_ends_with_the_process_that_started_it(broker, wait_until):
    kind = type(broker).__name__
    program = (
        f"import sys; from solvus.drivers.broker import {kind}; broker = {kind}(); "
        "print(broker.start().port, flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as parent:  # noqa: ASYNC220 -- short
        port = int(parent.stdout.readline())
        parent.kill()

    def is_free() -> bool:
        try:
            with type(broker)(port=port):
                return True
        except BrokerStartError:
            return False

    await wait_until(is_free)


def test_a_setting_that_is_wrong_is_one_sentence(tmp_path):
    command = [sys.executable, "-m", "solvus.drivers.serve", "--lab", "l", "--device", "d"]
    command += ["--driver", "slow_driver:SlowDriver", "--settings", "{}", "--journal", str(tmp_path / "j")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stderr) == (2, "solvus: SlowSettings.log: Field required\n")


def test_drivers_load_neither_torch_nor_sqlalchemy():
    program = (
        "import sys, solvus.drivers.device, solvus.drivers.serve, solvus.drivers.broker, solvus.drivers.schemas, "
        "solvus.drivers.presence, solvus.drivers.registry; "
        "print(sorted({'torch', 'sqlalchemy', 'sqlmodel', 'scipy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
