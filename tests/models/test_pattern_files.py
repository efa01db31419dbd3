"""Reading what the measuring programs write, refusing what is none of it, and never touching the user's file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from solvus.models.pattern import Conditions, Pattern, PatternError
from solvus.models.pattern_files import read_gr, write_gr

R = np.arange(0, 30.001, 0.01)
G = np.sin(5 * R) * np.exp(-0.1 * R)


def written(path: Path, rows: list[str], header: str = "#L r($\\AA$)  G($\\AA^{-2}$)") -> Path:
    path.write_text(header + "\n" + "\n".join(rows) + "\n")
    return path


def rows(r: np.ndarray = R, g: np.ndarray = G) -> list[str]:
    return [f"{a:.6g} {b:.6g}" for a, b in zip(r, g, strict=True)]


@given(
    values=hnp.arrays(np.float64, 60, elements=st.floats(-1e6, 1e6)),
    step=st.floats(0.006, 0.2),
    qmax=st.none() | st.floats(6.0, 50.0),
    radiation=st.sampled_from(["xray", "neutron"]),
    with_errors=st.booleans(),
)
@settings(max_examples=30)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    values: np.ndarray,
    step: float,
    qmax: float | None,
    radiation: str,
    with_errors: bool,
) -> None:
    r = 1.0 + np.arange(len(values)) * step
    conditions = Conditions(radiation=radiation, qmin=0.5, qmax=qmax, qdamp=0.03, composition="Pt")
    errors = 0.1 + np.abs(values) if with_errors else None
    pattern = Pattern(x=r, y=values, dy=errors, conditions=conditions)
    path = tmp_path_factory.mktemp("gr") / "a.gr"
    write_gr(pattern, path)
    assert read_gr(path) == pattern


@pytest.mark.parametrize(
    ("name", "qmin", "qmax", "composition", "radiation", "has_errors"),
    [
        ("pt_nanoparticles_s1.gr", 1.0, 21.998245281, "Pt", "xray", False),
        ("au144_pet.gr", 0.8, 26.0, "Au144 S60 C180", "xray", False),
        ("c60.gr", 0.01, 21.299999, "C", "xray", True),
        ("mno_neutron.gr", 0.85, 35.0, "Mn O", "neutron", True),
        ("cdse_bulk.gr", 1.0, 19.0, "Cd Se", "xray", False),
    ],
)
def test_headers_of_four_programs(
    shared: Path, name: str, qmin: float, qmax: float, composition: str, radiation: str, has_errors: bool
) -> None:
    pattern = read_gr(shared / "patterns" / name)
    conditions = pattern.conditions
    assert (conditions.qmin, conditions.qmax) == (qmin, qmax)
    assert (conditions.composition, conditions.radiation) == (composition, radiation)
    assert (pattern.dy is not None) == has_errors


@pytest.mark.parametrize("name", ["ni_powder.chi", "au_lab_source.sq", "ceo2_lab_mo.xy", "truth.csv"])
def test_other_quantities_are_refused(shared: Path, name: str) -> None:
    with pytest.raises(PatternError, match=re.escape(name)):
        read_gr(shared / "patterns" / name)


def test_no_such_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(PatternError, match="no such file"):
        read_gr(tmp_path / "absent.gr")
    with pytest.raises(PatternError, match="directory"):
        read_gr(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x00\x01\x02" * 50, "binary"),
        (b"Dear colleague,\nplease find attached.\n", "not a pattern"),
        (b"3\nwater\nO 0.0 0.0 0.0\nH 0.7 0.0 0.5\nH -0.7 0.0 0.5\n", "xyz"),
        (b"1 2\n2 3\n", "at least 20 rows"),
    ],
)
def test_what_is_no_pattern_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.gr"
    path.write_bytes(content)
    with pytest.raises(PatternError, match=words) as caught:
        read_gr(path)
    assert "x.gr" in str(caught.value)


def _faulty() -> list[tuple[str, list[str], str]]:
    whole = rows()
    gap = whole[:500] + whole[520:]
    backwards = [*whole[:500], *reversed(whole[500:600]), *whole[600:]]
    return [
        ("gap", gap, "gap or unequal steps after r = 4.99"),
        ("backwards", backwards, "not increasing after r"),
        ("nan", [*whole[:700], "7 nan", *whole[701:]], "line 702: NaN"),
        ("one column at the end", [*whole[:-1], "30.0"], "last line is cut off"),
        ("half a number at the end", [*whole[:-1], "30.0 0.0e-"], "last line is cut off"),
        ("r cut at the end", [*whole[:-1], "29.99 1", "3 0.1"], "not increasing"),
        ("comma", [row.replace(".", ",") for row in whole], "decimal commas"),
        ("words inside", [*whole[:50], "beam lost", *whole[50:]], "line 52"),
        ("nanometres", rows(R / 10.0), "nanometres"),
        (
            "far nanometres",
            rows(np.arange(0, 12, 0.001), np.exp(-(((np.arange(0, 12, 0.001) - 0.28) / 0.02) ** 2))),
            "strongest peak",
        ),
        ("negative", rows(R - 1.0), "negative distance"),
    ]


@pytest.mark.parametrize(("fault", "content", "words"), _faulty(), ids=lambda value: str(value)[:25])
def test_faults_are_named(tmp_path: Path, fault: str, content: list[str], words: str) -> None:
    path = written(tmp_path / "bad.gr", content)
    before = path.read_bytes()
    with pytest.raises(PatternError, match=re.escape(words)) as caught:
        read_gr(path)
    message = str(caught.value)
    assert "bad.gr" in message and "\n" not in message, fault
    assert path.read_bytes() == before


def test_nanometres_by_header(tmp_path: Path) -> None:
    with pytest.raises(PatternError, match="nanometres by its header"):
        read_gr(written(tmp_path / "a.gr", rows(), "#L r (nm)  G(nm^-2)"))


def test_only_a_g_is_written(tmp_path: Path) -> None:
    pattern = Pattern(quantity="S", x_unit="1/angstrom", x=R, y=G)
    with pytest.raises(PatternError, match=r"not S"):
        write_gr(pattern, tmp_path / "a.gr")
