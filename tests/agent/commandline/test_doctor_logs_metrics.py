"""Readiness, structured logs and metrics: each says the truth about a real broker, database and device."""

from __future__ import annotations

import json
import logging
import urllib.request
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from solvus.agent import doctor
from solvus.agent.commandline.app import app
from solvus.agent.decide import Experiment
from solvus.agent.doctor import Check, check_clock, check_database, check_disk, check_driver, check_models
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.logs import CAMPAIGN, JsonLines, log_json
from solvus.agent.snapshot import Snapshot
from solvus.agent.states import ExperimentState as E
from solvus.drivers.broker import EmbeddedBroker, MosquittoBroker
from solvus.drivers.laboratory import Laboratory
from solvus.models.identification import Candidate, Identification
from tests.agent.ledger_builder import BEST, LABORATORY

CONFIGS = Path(__file__).parents[3] / "configs"


async def test_the_database_is_written_to_and_left_as_it_was(ledger: Ledger, ledger_url: str) -> None:
    before = ledger.head
    check = await check_database(ledger_url)
    assert check.ok and "takes a row in" in check.words
    assert await ledger.read_head() == before


async def test_a_database_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    fresh = await check_database(f"sqlite:///{tmp_path / 'new' / 'ledger.db'}")
    assert fresh.ok and "the first campaign makes it" in fresh.words
    assert not (tmp_path / "new").exists(), "a check makes nothing"
    (tmp_path / "not.db").write_text("this is no database, whatever its name says" * 100)
    broken = await check_database(f"sqlite:///{tmp_path / 'not.db'}")
    assert broken.ok is False and "not a database" in broken.words and broken.fix
    nowhere = await check_database("postgresql://127.0.0.1:1/solvus")
    assert nowhere.ok is False and nowhere.fix
    assert (await check_database("mysql://x/y")).ok is False


def test_disk_and_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_disk([tmp_path / "not" / "there"]).words.endswith(str(tmp_path))
    monkeypatch.setattr(doctor, "LEAST_DISK", 1e18)
    assert check_disk([tmp_path]).ok is False
    assert check_clock({"robot": timedelta(seconds=1)}).ok
    late = check_clock({"robot": timedelta(seconds=1), "oven": timedelta(seconds=90)})
    assert late.ok is False and late.words == "oven's clock is 90 s off this machine's" and "NTP" in late.fix


def test_a_driver_that_cannot_start_is_named() -> None:
    (gold,) = [d for d in laboratory().devices if d.id == "robot"]
    assert check_driver(gold).ok
    unknown = check_driver(gold.model_copy(update={"driver": "acme-robot"}))
    assert unknown.ok is False and "no driver 'acme-robot' is installed" in unknown.words
    wrong = check_driver(gold.model_copy(update={"settings": {"world": "gold"}}))
    assert wrong.ok is False and wrong.words == "settings.store: Field required"
    assert not check_driver(LABORATORY.devices[0]).ok, "it lacks all settings"


@pytest.mark.parametrize(
    ("structure", "metal", "ok"),
    [("icosahedron-147", "Au", True), ("decahedron-7", "Au", False), ("icosahedron-147", "Ag", False)],
)
async def test_a_model_that_names_another_structure_or_metal_has_failed(
    structure: str, metal: str, ok: bool
) -> None:
    async def named(_: object) -> Identification:
        best = Candidate(
            structure=structure,
            family="any",
            elements=(metal,),
            probability=1.0,
            r_w=0.1,
            parameters={},
        )
        return Identification(
            verdict="identified",
            candidates=(best,),
            r_range=(1.6, 20.0),
            pattern_sha256="a" * 64,
            model_version="x",
        )

    class NoWorkers:
        async def run(self, *_: object) -> str:
            return ""

        def close(self) -> None:
            pass

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(doctor, "Workers", NoWorkers)
        found = await check_models(named)
    assert found[0].ok is ok
    if not ok:
        assert found[0].words == f"took a simulated Au icosahedron-147 for {metal} {structure}"


def laboratory(**changes: object) -> Laboratory:
    described = yaml.safe_load((CONFIGS / "laboratories/gold.yaml").read_text())
    return Laboratory.model_validate(described | changes)


async def test_a_silent_device_is_found_at_a_living_broker(
    broker: EmbeddedBroker | MosquittoBroker,
) -> None:
    heard = await doctor.listen(broker.address, "gold-lab", frozenset({"robot"}), patience=1.0)
    assert doctor.check_broker(heard, broker.address).ok
    (robot,) = doctor.check_devices(heard, ["robot"])
    assert robot.ok is False and robot.words == "was never heard at this broker" and "solvus lab" in robot.fix


def test_doctor_fails_with_a_fix_for_each_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def well() -> list[Check]:
        return [Check("models", True, "fine")]

    monkeypatch.setattr(doctor, "check_models", well)
    described = yaml.safe_load((CONFIGS / "laboratories/gold.yaml").read_text())
    described["broker"] = {"kind": "external", "host": "127.0.0.1", "port": 1}
    (tmp_path / "lab.yaml").write_text(yaml.safe_dump(described | {"data_directory": str(tmp_path)}))
    result = CliRunner().invoke(
        app, ["doctor", str(tmp_path / "lab.yaml"), "--ledger", f"sqlite:///{tmp_path / 'l.db'}", "--json"]
    )
    assert result.exit_code == 1, result.output
    document = json.loads(result.stdout)
    checks = {check["name"]: check for check in document["checks"]}
    assert document["ok"] is False and checks["broker"]["ok"] is False and checks["broker"]["fix"]
    assert checks["devices"]["ok"] is None and checks["database"]["ok"] is True


@pytest.mark.slow
def test_doctor_finds_this_machine_able(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["doctor", "gold", "--json"])
    document = json.loads(result.stdout)
    assert result.exit_code == 0, document
    checks = {check["name"]: check["ok"] for check in document["checks"]}
    assert checks.pop("broker") is None, "it starts with the agent"
    assert {"models", "network", "planner", "database", "disk", "clock"} < checks.keys()
    assert all(checks.values()), document


# --- logs ---


async def test_every_event_is_one_line_of_json_with_its_campaign_and_experiment(
    tmp_path: Path, ledger: Ledger
) -> None:
    handler = log_json(str(tmp_path / "logs" / "solvus.jsonl"))
    try:
        async with ledger.step() as step:
            body = {"number": 7, "sample_id": "s", "recipe": {}, "replicate_of": None, "replicate": 0}
            await step.append("gold-1", "experiment-proposed", body)
        token = CAMPAIGN.set("silver-2")
        logging.getLogger("solvus.agent").warning("a line\nof %s", "two", exc_info=ValueError("why"))
        CAMPAIGN.reset(token)
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
    lines = [json.loads(line) for line in (tmp_path / "logs/solvus.jsonl").read_text().splitlines()]
    proposed = next(line for line in lines if line.get("event") == "experiment-proposed")
    assert (proposed["campaign"], proposed["experiment"], proposed["seq"]) == ("gold-1", 7, 1)
    told = lines[-1]
    assert (
        told["campaign"] == "silver-2" and told["level"] == "warning" and told["message"] == "a line\nof two"
    )
    assert "ValueError: why" in told["error"] and told["at"].endswith("+00:00")


def test_a_log_line_is_json_whatever_is_logged() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "%s", (object(),), None)
    assert json.loads(JsonLines().format(record))["logger"] == "x"


# --- metrics ---


def test_prometheus_is_told_what_the_snapshot_says() -> None:
    pytest.importorskip("prometheus_client")
    from solvus.agent.metrics import Metrics, MetricsUnavailable

    metrics = Metrics(0)
    try:
        experiments = [Experiment(1, E.MEASURING, BEST), Experiment(2, E.PROPOSED, BEST, asks=True)]
        snapshot = Snapshot(
            "gold-1", "t", 40, "waiting", "", experiments, devices={"robot": "busy"}, paused=True
        )
        metrics.show(snapshot)
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            text = answer.read().decode()
        with pytest.raises(MetricsUnavailable, match="--metrics-port"):
            Metrics(metrics.port)
    finally:
        metrics.close()
    for line in (
        'solvus_campaign_state{campaign="gold-1",state="waiting"} 1.0',
        'solvus_campaign_state{campaign="gold-1",state="running"} 0.0',
        'solvus_device_state{campaign="gold-1",device="robot",state="busy"} 1.0',
        'solvus_questions_open{campaign="gold-1"} 1.0',
        'solvus_paused{campaign="gold-1"} 1.0',
        'solvus_experiments{campaign="gold-1",outcome="under way"} 2.0',
    ):
        assert line in text, text
