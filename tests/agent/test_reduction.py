"""Raw I(Q) off the wire becomes G(r) before it is identified, and the ledger can explain and repeat how."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from solvus.agent.bench import Bench
from solvus.agent.commandline.audit import audit_app
from solvus.agent.ledger.explanations import explain
from solvus.agent.ledger.tables import CommandRow
from solvus.agent.ledger.verify import describe, verify
from solvus.agent.recognition import Recognition
from solvus.agent.reduction import DeviceReduction, reductions_of
from solvus.agent.workers import Workers
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.laboratory import Calibration, Reduction, load_laboratory
from solvus.drivers.yaml_file import ConfigurationError
from solvus.models.formats.write import write_pattern
from solvus.models.identification import Identification
from solvus.models.pattern import Pattern
from solvus.simulations import raw_intensity
from solvus.simulations.chance import generator
from solvus.simulations.gold import scattering_sample
from solvus.simulations.world import Instrument, Product
from tests.agent.ledger_builder import LedgerBuilder, target

SHIPPED = Path(__file__).parents[2] / "configs/laboratories/gold-raw.yaml"
INSTRUMENT = Instrument()


def shipped_bench(**changes: Any) -> Bench:
    """The shipped laboratory, with other keys in its reduction."""
    laboratory = load_laboratory(SHIPPED)
    robot, diffractometer = laboratory.devices
    reduction = diffractometer.reduction
    assert reduction is not None
    changed = diffractometer.model_copy(update={"reduction": reduction.model_copy(update=changes)})
    laboratory = laboratory.model_copy(update={"devices": (robot, changed)})
    return Bench(laboratory, BrokerAddress(host="localhost"), ("robot",), ("diffractometer",))


@pytest.fixture(scope="module")
def raw() -> Pattern:
    product = Product(
        world="gold",
        composition="Au",
        fractions={"decahedral": 1.0},
        diameter=35.0,
        relative_width=0.06,
        bond_length=2.88,
        u_iso=0.009,
        delta2=2.0,
    )
    return raw_intensity.measure(scattering_sample(product), INSTRUMENT, generator(0, "raw"))


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    running = Workers()
    yield running
    running.close()


def recognition(
    builder: LedgerBuilder, workers: Workers, reductions: dict[str, DeviceReduction]
) -> Recognition:
    return Recognition(
        builder.id, builder.campaign, shipped_bench(), target(), reductions, builder.ledger, workers
    )


async def test_raw_data_are_reduced_recorded_and_identified(
    tmp_path: Path, raw: Pattern, workers: Workers
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    builder = await LedgerBuilder.start(url)
    measured = await builder.measured(raw)
    assert measured.pattern_sha256 == raw.sha256
    at_work = recognition(builder, workers, reductions_of(shipped_bench()))
    await at_work.recognise(measured)

    row = await builder.row(1)
    assert row.state == "scored" and row.identification is not None
    found = Identification.model_validate_json(row.identification)
    assert found.verdict == "identified" and found.candidates[0].family == "decahedral"
    assert found.descriptors["diameter"].mean == pytest.approx(35.0, rel=0.08)
    (event,) = [e for e in await builder.ledger.events() if e.kind == "pattern-reduced"]
    assert event.body["raw_sha256"] == raw.sha256
    assert event.body["pattern_sha256"] == row.pattern_sha256 == found.pattern_sha256
    (command,) = await builder.ledger.rows(CommandRow, CommandRow.purpose == "measure")
    assert command.pattern_sha256 == raw.sha256, "the raw data stay what the device measured"
    assert event.body["settings"]["composition"] == "Au" and event.body["settings"]["qmax"] == 20.0
    assert 0.3 < event.body["quality"]["background_share"] < 0.7
    assert (await verify(builder.ledger)).problems == ()
    told = "\n".join(f"{label}: {text}" for label, text in explain(event))
    for words in (
        raw.sha256,
        event.body["background_sha256"],
        "scale 1 (as set)",
        "rpoly 0.9",
        "reduction-1",
    ):
        assert words in told
    assert "less background" in describe(event)
    await builder.ledger.close()

    await asyncio.to_thread(_check_again, url, event.seq, tmp_path)


def _check_again(url: str, seq: int, folder: Path) -> None:
    """The command line reduces the recorded data again."""
    app = typer.Typer()
    app.add_typer(audit_app, name="audit")

    def run(*arguments: str):
        return CliRunner().invoke(
            app, ["audit", "reduce", *arguments, "--ledger", url], env={"COLUMNS": "200"}
        )

    again = run(str(seq), "--json", "--to", str(folder / "out"))
    document = json.loads(again.stdout)
    assert again.exit_code == 0 and document["same"] and document["difference"] < 1e-9
    written = {"raw.iq", "background.iq", "reduced.gr"}
    assert {file.name for file in (folder / "out").iterdir()} == written
    assert "never overwritten" in run(str(seq), "--to", str(folder / "out")).stderr
    assert "--kind pattern-reduced" in run("1").stderr and "does not exist" in run("999").stderr


async def test_an_agent_that_died_after_the_reduction_does_not_reduce_again(
    tmp_path: Path, raw: Pattern, workers: Workers
) -> None:
    builder = await LedgerBuilder.start(f"sqlite:///{tmp_path / 'ledger.db'}")
    at_work = recognition(builder, workers, reductions_of(shipped_bench()))
    await at_work._reduce(await builder.measured(raw), "diffractometer", raw)
    row = await builder.row(1)
    assert row.state == "measured" and row.pattern_sha256 != raw.sha256
    await at_work.recognise(row)
    assert (await builder.row(1)).state == "scored"
    assert len([e for e in await builder.ledger.events() if e.kind == "pattern-reduced"]) == 1
    await builder.ledger.close()


def _reduction(background: Pattern | None, **choice: Any) -> dict[str, DeviceReduction]:
    return {"diffractometer": DeviceReduction(Reduction(background=None, **choice), background, 0.8, 20.0)}


def _short(raw: Pattern) -> Pattern:
    keep = raw.x < 15.0
    return raw.model_copy(update={"x": raw.x[keep], "y": raw.y[keep], "dy": None})


@pytest.mark.parametrize(
    ("reductions", "words"),
    [
        (lambda raw: {}, "give it a reduction and its background in the laboratory file"),
        (lambda raw: _reduction(_short(raw)), "background: covers Q"),
        (lambda raw: _reduction(raw.model_copy(update={"y": 9.0 * raw.y})), "exceeds the sample"),
        (lambda raw: _reduction(None, composition="Gold"), "composition: 'Go'"),
    ],
    ids=["none stated", "too short", "too strong", "no formula"],
)
async def test_what_cannot_be_reduced_is_poor_data(
    tmp_path: Path, raw: Pattern, workers: Workers, reductions: Any, words: str
) -> None:
    builder = await LedgerBuilder.start(f"sqlite:///{tmp_path / 'ledger.db'}")
    await recognition(builder, workers, reductions(raw)).recognise(await builder.measured(raw))
    row = await builder.row(1)
    assert row.state == "scored" and row.identification is not None and row.score is not None
    found = Identification.model_validate_json(row.identification)
    assert found.verdict == "poor_data" and words in found.reasons[0] and "\n" not in found.reasons[0]
    assert not json.loads(row.score)["trusted"] and row.pattern_sha256 == raw.sha256
    assert (await verify(builder.ledger)).problems == ()
    await builder.ledger.close()


async def test_a_composition_that_nobody_states_is_asked_for(
    tmp_path: Path, raw: Pattern, workers: Workers
) -> None:
    nameless = raw.model_copy(update={"conditions": raw.conditions.model_copy(update={"composition": None})})
    alloy = target().model_copy(update={"elements": ("Au", "Pt")})
    builder = await LedgerBuilder.start(f"sqlite:///{tmp_path / 'ledger.db'}")
    for wanted, verdict in ((alloy, "poor_data"), (target(), "identified")):
        at_work = Recognition(
            builder.id,
            builder.campaign,
            shipped_bench(),
            wanted,
            reductions_of(shipped_bench()),
            builder.ledger,
            workers,
        )
        row = await builder.measured(nameless)
        await at_work.recognise(row)
        found = (await builder.row(row.number)).identification
        assert found is not None and json.loads(found)["verdict"] == verdict, found
    await builder.ledger.close()


Q = np.arange(0.5, 22.0, 0.02)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("absent.iq", None, "absent.iq"),
        ("s.sq", "".join(f"{q:.2f} 1.0\n" for q in Q), "say unit:"),
        ("s.sq", "#L Q(1/angstrom) S(Q)\n" + "".join(f"{q:.2f} 1.0\n" for q in Q), "I(Q) is needed, not S"),
        (
            "b.iq",
            "#L Q(1/angstrom) I(Q)\n" + "".join(f"{q:.2f} 9\n" for q in Q[Q < 12]),
            "covers Q = 0.5 to 12",
        ),
        ("b.iq", "#L Q(1/nm) I(Q)\n" + "".join(f"{q:.2f} 9\n" for q in Q), "covers Q = 0.05 to 2.2"),
    ],
    ids=["missing", "no unit", "no intensity", "too short", "in 1/nm"],
)
def test_a_bad_background_ends_the_campaign_before_it_begins(
    tmp_path: Path, name: str, text: str | None, words: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        reductions_of(shipped_bench(background=tmp_path / name))
    (problem,) = caught.value.problems
    assert problem.startswith("devices.diffractometer.reduction.background: ") and words in problem


def test_backgrounds_are_found_beside_the_laboratory_file(tmp_path: Path) -> None:
    background = raw_intensity.measure_background(INSTRUMENT, generator(0, "b"))
    write_pattern(background, tmp_path / "water.xye")
    text = SHIPPED.read_text().replace("gold-raw-background.xye", "water.xye")
    (tmp_path / "lab.yaml").write_text(text)
    device = load_laboratory(tmp_path / "lab.yaml").devices[1]
    assert device.reduction is not None and device.reduction.background == tmp_path / "water.xye"
    assert "reduction" not in device.driver_settings(), "how data are reduced is not the driver's affair"
    (tmp_path / "lab.yaml").write_text(text.replace("background: water.xye", "lorch: true"))
    with pytest.raises(ConfigurationError, match="background"):
        load_laboratory(tmp_path / "lab.yaml")


def test_an_uncalibrated_instrument_is_reduced_over_all_it_measured() -> None:
    bench = shipped_bench()
    robot, diffractometer = bench.laboratory.devices
    assert isinstance(diffractometer.calibration, Calibration)
    plain = diffractometer.model_copy(update={"calibration": None})
    laboratory = bench.laboratory.model_copy(update={"devices": (robot, plain)})
    reductions = reductions_of(Bench(laboratory, bench.address, bench.synthesis, bench.measurement))
    assert reductions["diffractometer"].qmin is None and reductions["diffractometer"].qmax is None
