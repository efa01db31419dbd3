"""Drivers are found by name, and a broken one breaks nobody else."""

from __future__ import annotations

import pytest

from solvus.drivers.registry import DriverNotFound, available, load

DISTRIBUTION = """\
[solvus.drivers]
broken-import = no_such_module:Driver
slow = slow_driver:SlowDriver
not-a-driver = json:JSONDecoder
half-a-driver = half_driver:HalfDriver
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A third-party package on the path, as pip leaves it."""
    folder = tmp_path / "third_party-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(DISTRIBUTION)
    (tmp_path / "half_driver.py").write_text(
        "from solvus.drivers.driver import Driver\nclass HalfDriver(Driver):\n    name = 'half'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_all_are_listed_and_the_broken_ones_say_why(installed):
    entries = {entry.name: entry for entry in available()}
    assert entries["slow"].error is None and entries["slow"].driver.name == "slow-driver"
    assert "No module named 'no_such_module'" in entries["broken-import"].error
    assert "no subclass" in entries["not-a-driver"].error
    assert "leaves out capabilities, execute" in entries["half-a-driver"].error
    assert all((entry.driver is None) != (entry.error is None) for entry in entries.values())


def test_a_driver_is_loaded_by_name_or_by_module_and_class(installed):
    assert load("slow") is load("slow_driver:SlowDriver")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("slwo", "did you mean 'slow'?"),
        ("zzzzzzzz", "there are: .*slow"),
        ("broken-import", "cannot be used: ModuleNotFoundError"),
        ("slow_driver:Nothing", "cannot be used: AttributeError"),
        ("slow_driver:SlowSettings", "no subclass"),
        (":", "cannot be used"),
    ],
)
def test_a_wrong_name_is_one_sentence(installed, name, words):
    with pytest.raises(DriverNotFound, match=words):
        load(name)
