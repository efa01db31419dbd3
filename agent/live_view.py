"""What a scientist sees while a campaign runs: on a terminal one view that follows, elsewhere one line per experiment.

Nothing here reads or writes anything; the caller gives snapshots and shows what comes back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from solvus.agent.decide import Experiment
from solvus.agent.outcomes import (
    Outcome,
    best_of,
    best_so_far,
    diameter_of,
    distance_of,
    outcome_of,
    probability_words,
    role_of,
    short_recipe,
    structure_of,
)
from solvus.agent.snapshot import Snapshot
from solvus.models.identification import Identification

SHOWN = 8
"""Experiments in the table: with the head and the curve it still fits a terminal of 24 lines."""
BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-=+*#@"

STATE_STYLE = {"found": "bold green", "exhausted": "yellow", "stopped": "yellow", "running": "cyan"}
OUTCOME_STYLE = {
    Outcome.HIT: "bold green",
    Outcome.MISS: "",
    Outcome.SEEN: "",
    Outcome.UNTRUSTED: "yellow",
    Outcome.NO_PRODUCT: "magenta",
    Outcome.NOT_MEASURED: "",
    Outcome.EQUIPMENT: "red",
    Outcome.SOFTWARE: "red",
    Outcome.REJECTED: "red",
    Outcome.UNKNOWN: "red",
    Outcome.UNDER_WAY: "cyan",
}
DEVICE_STYLE = {"ready": "green", "busy": "cyan", "init": "yellow"}


class Sparkline:
    """Bars on a log scale, a low bar for a small value; as many of the latest as there is room for."""

    def __init__(self, values: Sequence[float]) -> None:
        self._values = values

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(
            bars(self._values[-options.max_width :], ASCII_BARS if options.ascii_only else BARS), "cyan"
        )


def bars(values: Sequence[float], levels: str = BARS) -> str:
    """One character per value, by its logarithm between the least and the greatest."""
    smallest = min((v for v in values if v > 0.0), default=1.0)
    logs = [math.log(max(v, smallest)) for v in values]  # a distance of exactly 0 has no logarithm
    if not logs:
        return ""
    low, span = min(logs), max(logs) - min(logs)
    top = len(levels) - 1
    return "".join(levels[round(top * (value - low) / span) if span > 0.0 else 0] for value in logs)


def render(snapshot: Snapshot) -> RenderableType:
    """The whole view, for any width from 80 columns on."""
    parts: list[RenderableType] = [Rule(Text(f"{snapshot.campaign}: {snapshot.title}", "bold"), align="left")]
    parts.append(_head(snapshot))
    if snapshot.experiments:
        latest = snapshot.experiments[-SHOWN:]
        parts.append(Padding(experiment_table(latest, snapshot.identifications), (1, 0, 0, 0)))
    series = [d for d in best_so_far(snapshot.experiments) if d is not None]
    if len(series) > 1:
        parts.append(_curve(series))
    return Group(*parts)


def _head(snapshot: Snapshot) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    state = Text(snapshot.state, STATE_STYLE.get(snapshot.state, ""))
    if snapshot.waits_for:
        state.append(f"  {snapshot.waits_for}", "default")
    grid.add_row("state", state)
    grid.add_row("experiments", f"{len(snapshot.experiments)} of {snapshot.budget}")
    grid.add_row("nearest", nearest_words(snapshot.experiments))
    devices = Text()
    for i, (device, word) in enumerate(snapshot.devices.items()):
        devices.append(("   " if i else "") + device + " ").append(word, DEVICE_STYLE.get(word, "red"))
    grid.add_row("devices", devices)
    return grid


def nearest_words(experiments: Sequence[Experiment]) -> str:
    """The best result so far, in words."""
    best = best_of(experiments)
    if best is None or best.score is None or best.score.distance_mean is None:
        return "nothing identified yet"
    return (
        f"experiment {best.number}, {best.score.distance_mean:.2f} tolerances from the target, "
        f"within all of them with {probability_words(best.score.probability_within)}"
    )


def experiment_table(
    experiments: Sequence[Experiment], identifications: Mapping[int, Identification]
) -> RenderableType:
    """One row per experiment, and below them the parameters in the recipe's order."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, expand=True, header_style="dim")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("recipe", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("identified as", no_wrap=True, overflow="ellipsis", max_width=26)
    for heading in ("R_w", "p", "D/Å", "dist"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True, min_width=12)
    for experiment in experiments:
        identification = identifications.get(experiment.number)
        table.add_row(
            str(experiment.number),
            _recipe_text(experiment),
            structure_of(identification),
            *_fit_words(identification),
            diameter_of(identification),
            "" if (distance := distance_of(experiment)) is None else f"{distance:.2f}",
            _outcome_text(experiment),
        )
    names = ", ".join(experiments[-1].recipe) if experiments else "none yet"
    return Group(table, Text(f"recipe: {names}", "dim"))


def _fit_words(identification: Identification | None) -> tuple[str, str]:
    if identification is None or not identification.candidates:
        return "", ""
    top = identification.candidates[0]
    return f"{top.r_w:.2f}", f"{top.probability:.2f}"


def _recipe_text(experiment: Experiment) -> Text:
    role = role_of(experiment)
    return Text(role, "italic") if role else Text(short_recipe(experiment.recipe))


def _outcome_text(experiment: Experiment) -> Text:
    outcome = outcome_of(experiment)
    # While it is under way its state says more; "equipment failed" is cut to its first word to fit 80 columns.
    word = experiment.state.value if outcome is Outcome.UNDER_WAY else outcome.value.removesuffix(" failed")
    return Text(word, OUTCOME_STYLE[outcome])


def _curve(series: Sequence[float]) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    first, last = (f"{value:.2f}" for value in (series[0], series[-1]))
    grid.expand = True
    grid.add_row(Text(f"least distance {first}", "dim"), Sparkline(series), Text(last, "bold"))
    return grid


def lines(previous: Snapshot | None, snapshot: Snapshot) -> list[str]:
    """One plain line per experiment that has ended since ``previous``, in order of their numbers, and one for each
    thing that people are asked since.

    Parameters
    ----------
    previous : a *copy* of an earlier snapshot (the loop brings its own up to date in place), or ``None``.
    """
    before = frozenset[int]() if previous is None else _ended(previous)
    asked = () if previous is None else previous.asks
    ended = [_line(e, snapshot) for e in snapshot.experiments if not e.active and e.number not in before]
    return ended + [words for words in snapshot.asks if words not in asked]


def _ended(snapshot: Snapshot) -> frozenset[int]:
    return frozenset(e.number for e in snapshot.experiments if not e.active)


def _line(experiment: Experiment, snapshot: Snapshot) -> str:
    identification = snapshot.identifications.get(experiment.number)
    parts = [outcome_of(experiment).value]
    if identification is not None:
        r_w, probability = _fit_words(identification)
        fit = f" (p {probability}, R_w {r_w})" if r_w else ""
        parts.append(structure_of(identification) + fit)
        if diameter := diameter_of(identification):
            parts.append(f"{diameter} Å")
    if (distance := distance_of(experiment)) is not None:
        parts.append(f"{distance:.2f} tolerances from the target")
    if experiment.hit and experiment.score is not None:
        parts.append(f"within all with {probability_words(experiment.score.probability_within)}")
    if role := role_of(experiment):
        parts.append(role)
    return f"experiment {experiment.number} of {snapshot.budget}: {', '.join(parts)}"
