"""Campaigns that look before they measure, against campaigns that do not."""

from __future__ import annotations

from solvus.simulations.benchmarks.stages import run, summary


def test_both_kinds_do_the_same_while_there_is_too_little_to_judge_by() -> None:
    plain, staged = run(21, staged=False, budget=8), run(21, staged=True, budget=8)
    assert plain == staged and plain.skipped == 0 and 0 < plain.measured <= plain.made == 8
    found = f"{2 * plain.found} of 2 found a hit, 16 samples made"
    assert summary("all", [plain, staged]).startswith(f"all: {found}")
