"""Every curve file of the field: what is written is read back, units are found or asked for, faults are named."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvus.models.formats.read import read_pattern
from solvus.models.formats.write import write_pattern
from solvus.models.pattern import X_UNIT_OF, Conditions, Pattern, PatternError

Q = np.arange(0.5, 20.0, 0.02)
S = 1.0 + np.sin(2.5 * Q) / (2.5 * Q)
ENDINGS = {
    "S": [".sq", ".dat", ".csv", ".nxs"],
    "F": [".fq", ".dat", ".csv", ".h5"],
    "I": [".iq", ".chi", ".xy", ".xye", ".dat", ".csv", ".nxs"],
    "G": [".gr", ".dat", ".csv", ".h5"],
}


def curve(quantity: str, dy: bool = True, **conditions: object) -> Pattern:
    y = {"S": S, "F": Q * (S - 1), "I": 100 * S, "G": np.sin(Q)}[quantity]
    return Pattern(
        quantity=quantity,
        x_unit=X_UNIT_OF[quantity],
        x=Q,
        y=y,
        dy=0.1 + 0 * Q if dy else None,
        conditions=Conditions(**conditions),
    )


@pytest.mark.parametrize(("quantity", "suffix"), [(q, s) for q, ends in ENDINGS.items() for s in ends])
@given(
    dy=st.booleans(),
    radiation=st.sampled_from(["xray", "neutron"]),
    qmax=st.none() | st.floats(6.0, 50.0),
    composition=st.none() | st.sampled_from(["Ni", "Ce O2", "Co0.33Cu0.33Ni0.33FeMnO4"]),
)
@settings(max_examples=8)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    quantity: str,
    suffix: str,
    dy: bool,
    radiation: str,
    qmax: float | None,
    composition: str | None,
) -> None:
    path = tmp_path_factory.mktemp("curves") / f"curve{suffix}"
    pattern = curve(quantity, dy, radiation=radiation, qmax=qmax, composition=composition)
    write_pattern(pattern, path)
    assert read_pattern(path).pattern == pattern


def test_a_file_is_only_read(tmp_path: Path) -> None:
    path = tmp_path / "a.sq"
    path.write_text(
        "#L Q($\\AA^{-1}$)  S(a.u.)\n" + "\n".join(f"{a} {b - 1}" for a, b in zip(Q, S, strict=True))
    )
    before = hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns
    reading = read_pattern(path)
    assert (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime_ns) == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.sq"]
    assert any("S(Q) - 1" in note and "1 was added" in note for note in reading.notes)
    np.testing.assert_allclose(reading.pattern.y, S)


def table(path: Path, header: str, x: np.ndarray = Q, y: np.ndarray = S) -> Path:
    path.write_text(header + "\n".join(f"{a:.8f} {b:.8f}" for a, b in zip(x, y, strict=True)) + "\n")
    return path


@pytest.mark.parametrize(
    ("header", "x", "factor"),
    [
        ("#L Q(nm^-1) I\n", 10 * Q, 0.1),
        ("# q_nm^-1  I\n", 10 * Q, 0.1),
        ("title\nQ (Inverse Nanometres)\nIntensity\n 975\n", 10 * Q, 0.1),
        ("#L Q(1/A)  I\n", Q, 1.0),
        ("# q_A^-1 I\n", Q, 1.0),
        ("#L Q($\\AA^{-1}$)  I\n", Q, 1.0),
        ("title\nQ (Inverse Angstroms)\nIntensity\n 975\n", Q, 1.0),
    ],
)
def test_units_of_q_come_from_headers(tmp_path: Path, header: str, x: np.ndarray, factor: float) -> None:
    reading = read_pattern(table(tmp_path / "a.chi", header, x))
    np.testing.assert_allclose(reading.pattern.x, x * factor, rtol=1e-6)
    assert any("first column read as" in note for note in reading.notes)


@pytest.mark.parametrize(
    "header", ["# 2theta I\n", "title\n2-Theta Angle (Degrees)\nIntensity\n 975\n", "#L TwoTheta I\n"]
)
def test_two_theta_becomes_q_with_the_wavelength(tmp_path: Path, header: str) -> None:
    path = table(tmp_path / "a.chi", header)
    with pytest.raises(PatternError, match="--wavelength"):
        read_pattern(path)
    reading = read_pattern(path, wavelength=0.7107)
    np.testing.assert_allclose(reading.pattern.x, 4 * np.pi / 0.7107 * np.sin(np.radians(Q / 2)), rtol=1e-6)
    assert reading.pattern.conditions.wavelength == 0.7107


def test_a_unit_that_the_file_contradicts_is_taken_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.iq"
    path.write_text("#L Q(1/nm) I\n" + "\n".join(f"{q} 1.0" for q in np.linspace(1, 20, 100)))
    said = read_pattern(path, x_unit="1/angstrom")
    assert said.pattern.x[-1] == pytest.approx(20.0)
    assert "taken as 1/angstrom, as you say, but it is 1/nm" in said.notes[0]
    assert read_pattern(path, x_unit="1/nm").notes == ()


def test_an_unstated_unit_is_asked_for(tmp_path: Path, shared: Path) -> None:
    for path in (table(tmp_path / "a.xy", ""), shared / "patterns/ceo2_lab_mo.xy"):
        with pytest.raises(PatternError, match="--unit 1/angstrom, 1/nm or 2theta"):
            read_pattern(path)
    read = read_pattern(shared / "patterns/ceo2_lab_mo.xy", x_unit="2theta", wavelength=0.7107).pattern
    # The (111) line of CeO2, a = 5.41 angstrom.
    window = (read.x > 1.5) & (read.x < 2.5)
    assert read.x[window][read.y[window].argmax()] == pytest.approx(2 * np.pi * np.sqrt(3) / 5.411, abs=0.01)


def test_the_detector_in_the_header_tells_angstrom_from_nanometre(tmp_path: Path, shared: Path) -> None:
    measured = shared / "patterns/ni_powder.chi"
    reading = read_pattern(measured)
    assert any("1/angstrom, by the detector" in note for note in reading.notes)
    # (111) of Ni, a = 3.524 angstrom, within one step.
    pattern = reading.pattern
    assert pattern.x[pattern.y.argmax()] == pytest.approx(2 * np.pi * np.sqrt(3) / 3.524, abs=0.02)
    head, _, body = measured.read_text().partition("#### start data\n")
    rows = [line.split() for line in body.splitlines()]
    text = "\n".join(" ".join([f"{float(r[0]) * 10:.3f}", *r[1:]]) for r in rows)
    (tmp_path / "nano.chi").write_text(head + "#### start data\n" + text)
    np.testing.assert_allclose(read_pattern(tmp_path / "nano.chi").pattern.x, pattern.x, atol=1e-9)


def test_measured_structure_factor_minus_one(shared: Path) -> None:
    reading = read_pattern(shared / "patterns/au_lab_source.sq")
    assert any("S(Q) - 1" in note for note in reading.notes)
    assert reading.pattern.y[-1000:].mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\0\1\2", "binary"),
        (b"nothing here\n", "no table"),
        (b"# q_A^-1 I\n" + b"1 2\n" * 30, "line 3: the first column does not increase"),
        (b"# q_A^-1 I\n" + b"".join(b"%d 2\n" % i for i in range(30)) + b"30 x\n31 2\n", "line 32: "),
        (
            b"# q_A^-1 I\n" + b"".join(b"%d 2\n" % i for i in range(30)) + b"30",
            "line 32: the last line is cut off",
        ),
        (b"# q_A^-1 I\n" + b"".join(b"%d 2\n" % i for i in range(30)) + b"30 nan\n31 2\n", "line 32: NaN"),
        (b"# q_A^-1 I\n" + b"".join(b"%d,5 2,0\n" % i for i in range(30)), "line 2: decimal commas"),
        (b"# 2theta I\n" + b"".join(b"%d 2\n" % (10 * i) for i in range(30)), "between 0 and 180"),
    ],
)
def test_faults_are_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.chi"
    path.write_bytes(content)
    with pytest.raises(PatternError) as caught:
        read_pattern(path, wavelength=1.0)
    assert str(caught.value).startswith("bad.chi")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_unknown_and_wrong_files(tmp_path: Path) -> None:
    for path in (tmp_path / "no.sq", tmp_path / "no.h5"):
        with pytest.raises(PatternError, match="no such file"):
            read_pattern(path)
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(PatternError, match=r"text.h5: cannot be read as HDF5"):
        read_pattern(tmp_path / "text.h5")
    with pytest.raises(PatternError, match=r"a\.sq: a \.sq file holds S, not I"):
        write_pattern(curve("I"), tmp_path / "a.sq")
    with pytest.raises(PatternError, match="ending"):
        write_pattern(curve("I"), tmp_path / "a.doc")
    with pytest.raises(PatternError, match="cannot be written"):
        write_pattern(curve("I"), tmp_path / "nowhere" / "a.iq")
    with pytest.raises(PatternError, match="--quantity"):
        read_pattern(table(tmp_path / "a.dat", ""))
    with pytest.raises(PatternError, match="--unit"):
        read_pattern(table(tmp_path / "b.dat", ""), quantity="I", x_unit="furlong")


def test_nexus_without_a_unit_asks(tmp_path: Path) -> None:
    path = tmp_path / "bare.h5"
    with h5py.File(path, "w") as file:
        data = file.create_group("scan/data")
        data.attrs.update({"NX_class": "NXdata", "signal": "I", "axes": "q"})
        data["q"], data["I"] = Q, S
    with pytest.raises(PatternError, match="--unit"):
        read_pattern(path)
    assert read_pattern(path, x_unit="1/nm").pattern.x[-1] == pytest.approx(Q[-1] / 10)
    with h5py.File(path, "a") as file:
        other = file.create_group("scan/other")
        other.attrs["NX_class"] = "NXdata"
    with pytest.raises(PatternError, match="2 NXdata groups"):
        read_pattern(path)


@pytest.mark.parametrize("ending", [".xy", ".csv"])
def test_intensities_are_written_over_the_angle_and_read_back(tmp_path: Path, ending: str) -> None:
    q = np.arange(1.0, 6.0, 0.01)
    pattern = Pattern(
        quantity="I",
        x_unit="1/angstrom",
        x=q,
        y=100.0 + np.sin(q),
        conditions=Conditions(wavelength=1.5406, qmin=1.0, qmax=6.0),
    )
    file = tmp_path / f"powder{ending}"
    write_pattern(pattern, file, two_theta=True)
    first = next(line for line in file.read_text().splitlines() if line[0].isdigit() and "theta" not in line)
    assert float(first.replace(",", " ").split()[0]) == pytest.approx(
        np.degrees(2 * np.arcsin(1.5406 / (4 * np.pi)))
    )
    back = read_pattern(file).pattern
    np.testing.assert_allclose(back.x, q, rtol=1e-9)
    np.testing.assert_allclose(back.y, pattern.y, rtol=1e-12)


def test_an_angle_needs_a_wavelength(tmp_path: Path) -> None:
    pattern = Pattern(quantity="I", x_unit="1/angstrom", x=np.arange(1.0, 6.0, 0.01), y=np.ones(500))
    with pytest.raises(PatternError, match="2theta needs"):
        write_pattern(pattern, tmp_path / "powder.xy", two_theta=True)
