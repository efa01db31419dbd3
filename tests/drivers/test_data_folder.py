"""Patterns by content: what comes back is what was stored, or an error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvus.drivers.data import load_pattern, store_pattern
from solvus.models.pattern import Pattern, PatternError

CURVE = Pattern(x=range(1, 31), y=range(30))


@settings(max_examples=25)  # each one waits for the disk
@given(st.from_type(Pattern))
def test_a_pattern_comes_back_as_it_was_stored(tmp_path_factory, pattern):
    folder = tmp_path_factory.mktemp("data") / "deep"
    reference = store_pattern(folder, pattern)
    assert store_pattern(folder, pattern) == reference
    assert reference.sha256 == pattern.sha256
    assert load_pattern(folder, reference) == pattern
    assert len(list(folder.iterdir())) == 1  # nothing half-written is left


def test_a_changed_file_is_not_believed(tmp_path):
    reference = store_pattern(tmp_path, CURVE)
    file = tmp_path / f"{reference.sha256}.json"
    file.write_bytes(file.read_bytes().replace(b"29.0", b"28.0"))
    with pytest.raises(PatternError, match="damaged"):
        load_pattern(tmp_path, reference)


def test_a_missing_file_names_the_folder(tmp_path):
    reference = store_pattern(tmp_path, CURVE)
    with pytest.raises(PatternError, match=r"is not in .*elsewhere"):
        load_pattern(tmp_path / "elsewhere", reference)
