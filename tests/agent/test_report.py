"""The report tells what the ledger holds, stands alone, and comes out however the campaign went."""

from __future__ import annotations

import asyncio
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvus.agent.ledger.engine import LedgerError
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.report import write_report
from solvus.agent.report_figures import compare
from solvus.agent.report_page import goal_words, table
from solvus.agent.scoring import Goal
from solvus.models.pattern import Pattern
from tests.agent.ledger_builder import BEST, FOUND, build, pattern_of, target

PNG = b"\x89PNG\r\n\x1a\n"


class Page(HTMLParser):
    """Visible text, tables and everything that a browser would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.fetched, self.tags = "", [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_data(self, data):
        self.text += data


async def report_of(folder: Path, fates, end: str | None) -> tuple[Page, dict, Path, str]:
    url = f"sqlite:///{folder / 'ledger.db'}"
    campaign_id, head = await build(url, fates, end=end)
    ledger = await Ledger.open(url, write=False)
    try:
        path = await write_report(ledger, campaign_id, target(), folder / "report")
    finally:
        await ledger.close()
    page = Page(path.read_text(encoding="utf-8"))
    return page, json.loads((path.parent / "report.json").read_text()), path, head


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> tuple[Page, dict, Path, str]:
    return asyncio.run(report_of(tmp_path_factory.mktemp("found"), FOUND, "found"))


def test_a_found_campaign_is_told_in_full(found):
    page, data, path, head = found
    ledger = path.parents[1] / "ledger.db"
    assert path.name == "report.html"
    for words in (
        *("Au decahedron-1103: found and confirmed", "made in experiments 10 and 11", "11 of 40"),
        *("at least 60 % of the scattering from decahedral", "diameter 35.00 ± 1.75 Å"),
        *("bond length 2.880 ± 0.029 Å", "71.5", "degC", "mol/mol", "pvp", "Au decahedron"),
        *("Expected 0.94 ± 0.41 tolerances", "no particles: 3 % of the gold was reduced"),
        *("syringe pump 2 stalled", "none of the library", "repeats 10"),
        *(head, f"solvus audit verify --ledger sqlite:///{ledger} --head {head}"),
        *("the chain is whole", "Planner seed 3", "All devices of this laboratory were simulated", "torch"),
        *("threads 1", "cpu_capability AVX2"),
    ):
        assert words in page.text, words
    assert data["found"] == [10, 11] and data["best"] == 10
    assert data["recipe"] == BEST and list(data["recipe"]) == list(BEST)
    assert data["ledger"]["head"] == head and data["ledger"]["problems"] == []
    assert 0.0 < data["r_w_to_target"] < 0.2
    assert [e["number"] for e in data["experiments"]] == list(range(1, 12))
    for name in ("pattern", "history", "recipes"):
        assert (path.parent / f"{name}.png").read_bytes().startswith(PNG)


def test_the_page_stands_alone(found):
    page, _, path, _ = found
    assert "script" not in page.tags and "link" not in page.tags
    assert len(page.fetched) == 3 and all(f.startswith("data:image/png;base64,") for f in page.fetched)
    assert not re.search(r"url\(|@import|https?://", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("fates", "end", "words"),
    [
        ((), "stopped", "None was made"),
        (("no-product", "rejected"), "exhausted", "Nothing was identified"),
        (("untrusted",), "exhausted", "not found, the budget is spent"),
        (("miss", "synthesising"), None, "still running"),
        (("hit",), "stopped", "stopped by the operator"),
    ],
)
async def test_a_report_comes_out_however_it_went(tmp_path: Path, fates, end, words):
    page, data, _, _ = await report_of(tmp_path, fates, end)
    assert words.lower() in page.text.lower()
    assert data["found"] == [] and len(data["experiments"]) == len(fates)


def test_what_devices_say_cannot_become_markup(tmp_path: Path):
    shown = table(("a",), [("<b>R_w</b>",)])
    assert "<b>" not in shown and "R<sub>w</sub>" in shown


async def test_an_unknown_campaign_is_refused_with_those_there_are(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    campaign_id, _ = await build(url, (), end=None)
    ledger = await Ledger.open(url, write=False)
    with pytest.raises(LedgerError, match=campaign_id):
        await write_report(ledger, "gold-9", target(), tmp_path)
    await ledger.close()


@given(scale=st.floats(0.05, 20.0), noise=st.floats(0.0, 0.5))
def test_the_scale_of_the_comparison_is_the_least_squares_one(scale: float, noise: float):
    wanted = target().pattern
    y = scale * wanted.y + np.random.default_rng(1).normal(0.0, noise, len(wanted.y))
    found = compare(Pattern(x=wanted.x, y=y), wanted, (1.6, 20.0))
    inside = found.r <= 20.0
    residual = (found.measured - found.target)[inside]
    assert abs(residual @ found.target[inside]) < 1e-6 * (found.target[inside] @ found.target[inside])
    assert found.r_w == pytest.approx(np.sqrt(residual @ residual / np.sum(found.measured[inside] ** 2)))
    if noise == 0.0:
        assert found.scale == pytest.approx(scale) and found.r_w < 1e-6


def test_the_comparison_works_across_grids_and_refuses_other_quantities():
    coarse = pattern_of(35.0, seed=4)
    thinned = Pattern(x=coarse.x[::2], y=coarse.y[::2])
    assert compare(thinned, target().pattern, (1.6, 20.0)).r_w < 0.1
    q = Pattern(quantity="F", x_unit="1/angstrom", x=coarse.x, y=coarse.y)
    assert compare(q, target().pattern, (1.6, 20.0)) is None


def test_goals_are_told_with_their_units():
    assert (
        goal_words("diameter", Goal(value=35.0, tolerance=1.75, at_least=True)) == "diameter at least 33.25 Å"
    )
    assert goal_words("oxygen", Goal(value=1.0, tolerance=0.5)) == "oxygen 1.00 ± 0.50"
