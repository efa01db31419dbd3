"""The pictures of a campaign's report, as PNG bytes.

    G_measured ~ s G_target,   s = sum(G_m G_t) / sum(G_t^2),   R_w = sqrt( sum (G_m - s G_t)^2 / sum G_m^2 )

r in angstrom, G in 1/angstrom^2, distances in tolerances. Colours are those of Okabe and Ito (2008), which stay apart
for colour-blind readers; shapes tell the same as colours, for a black-and-white print.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from solvus.agent.campaign_record import ExperimentRecord
from solvus.agent.outcomes import Outcome, best_so_far, distance_of, outcome_of
from solvus.agent.planner.search_space import SearchSpace, Shown
from solvus.models.pattern import FloatVector, Pattern

BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8c8c8c"
DPI = 150
LEAST_DISTANCE = 0.01
"""Tolerances; a log axis cannot show less, and no identification resolves less."""
LEAST_BEYOND = 2.0
"""angstrom; less than this beyond the compared range is not worth a panel of its own."""
PANEL_MARGIN = 0.05
"""Of a parameter's range, so that points on its limits are seen whole."""
PLACELESS = (
    *(Outcome.SEEN, Outcome.UNTRUSTED, Outcome.NOT_MEASURED, Outcome.NO_PRODUCT, Outcome.EQUIPMENT),
    *(Outcome.SOFTWARE, Outcome.REJECTED, Outcome.UNKNOWN),
)
"""Outcomes without a distance: they get a strip of their own."""


@dataclass(frozen=True)
class Comparison:
    """A measured G(r) beside the target's, on the measured grid where both are known.

    ``r`` angstrom, ``measured`` and ``target`` (already scaled) 1/angstrom^2, each (n,). Scale and ``r_w`` are those of
    ``r_range`` (angstrom) alone.
    """

    r: FloatVector
    measured: FloatVector
    target: FloatVector
    scale: float
    r_w: float
    r_range: tuple[float, float]


def compare(measured: Pattern, target: Pattern, r_range: tuple[float, float]) -> Comparison | None:
    """Least-squares scale and R_w over ``r_range``; ``None`` where the two have no G(r) in common."""
    if measured.quantity != "G" or target.quantity != "G":
        return None
    known = (measured.x >= max(r_range[0], target.x[0])) & (measured.x <= target.x[-1])
    r, y = measured.x[known], measured.y[known]
    wanted = np.interp(r, target.x, target.y)
    near = r <= r_range[1]
    norm, power = float(wanted[near] @ wanted[near]), float(y[near] @ y[near])
    if norm == 0.0 or power == 0.0:
        return None
    scale = float(y[near] @ wanted[near]) / norm
    r_w = float(np.sqrt(np.sum((y - scale * wanted)[near] ** 2) / power))
    return Comparison(r, y, scale * wanted, scale, r_w, (float(r[near][0]), float(r[near][-1])))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without the software's name and version the same data gives the same bytes.
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def pattern_figure(comparison: Comparison, number: int, title: str) -> bytes:
    """Measured over wanted with the difference below; above the compared range, below what lies beyond it."""
    end = comparison.r_range[1]
    near = comparison.r <= end
    ranges = [near] if comparison.r[-1] - end < LEAST_BEYOND else [near, ~near]
    figure = _figure(9.0, 3.9 if len(ranges) == 1 else 6.4)
    panels = np.atleast_1d(np.asarray(figure.subplots(len(ranges), 1, height_ratios=[3, 2][: len(ranges)])))
    for axes, part in zip(panels, ranges, strict=True):
        _overlay(axes, comparison.r[part], comparison.measured[part], comparison.target[part])
    curves = panels[0].get_lines()
    labels = [f"measured, experiment {number}", f"target, {title}", "difference, shifted down"]
    _legend(panels[0], handles=curves[:3], labels=labels)
    panels[-1].set_xlabel("r (Å)")
    return _png(figure)


def _overlay(axes: Axes, r: FloatVector, measured: FloatVector, target: FloatVector) -> None:
    difference = measured - target
    # Just below the curves, whatever their size.
    offset = min(measured.min(), target.min()) - 1.15 * max(difference.max(), 0.1 * float(np.ptp(measured)))
    axes.plot(r, measured, "o", ms=2.6, mfc="none", mew=0.7, color=BLUE)
    axes.plot(r, target, color=VERMILION, lw=1.3)
    axes.plot(r, difference + offset, color=GREEN, lw=0.9)
    axes.axhline(offset, color=GREY, lw=0.6, zorder=1)
    axes.set_ylabel("G (Å$^{-2}$)")
    axes.set_xlim(r[0], r[-1])
    _tidy(axes)


def _legend(axes: Axes, **what: Any) -> None:
    axes.legend(
        frameon=False, fontsize=9, ncols=6, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, **what
    )


def _whole_numbers() -> MaxNLocator:
    return MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])


def _log_ticks(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def history_figure(records: Sequence[ExperimentRecord], found: Sequence[int]) -> bytes:
    """Distance to the target against experiment number; what has no distance is marked in a strip below."""
    figure = _figure(9.0, 4.4)
    axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1.1])
    _shade_start(axes, strip, records)
    experiments = [r.experiment for r in records]
    series = [
        (e.number, d) for e, d in zip(experiments, best_so_far(experiments), strict=True) if d is not None
    ]
    if series:
        numbers, least = zip(*series, strict=True)
        shown = [max(d, LEAST_DISTANCE) for d in least]
        axes.step(numbers, shown, where="post", color=GREY, lw=1.2, label="best so far", zorder=1)
    for label, style, chosen in _kinds(records):
        points = [(r.number, distance_of(r.experiment), _spread(r)) for r in chosen]
        x = [number for number, _, _ in points]
        y = [max(d or 0.0, LEAST_DISTANCE) for _, d, _ in points]
        error = [min(s, 0.99 * value) for (_, _, s), value in zip(points, y, strict=True)]
        axes.errorbar(x, y, error, ls="none", elinewidth=0.8, ecolor=GREY, label=label, zorder=2, **style)
    if found:
        height = max(distance_of(experiments[found[0] - 1]) or 0.0, LEAST_DISTANCE)
        words = f"found: {' and '.join(map(str, found))}"
        axes.annotate(words, (found[0], height), (-9, -3), textcoords="offset points", ha="right", fontsize=9)
    axes.axhline(1.0, color=VERMILION, lw=0.9, ls=(0, (5, 3)), label="1 tolerance")
    axes.set_yscale("log")
    _log_ticks(axes.yaxis)
    axes.set_ylabel("distance to target\n(tolerances)")
    _legend(axes)
    _tidy(axes)
    _failures(strip, records)
    return _png(figure)


def _spread(record: ExperimentRecord) -> float:
    score = record.experiment.score
    return 0.0 if score is None or score.distance_sd is None else score.distance_sd


Style = dict[str, object]


def _kinds(records: Sequence[ExperimentRecord]) -> list[tuple[str, Style, list[ExperimentRecord]]]:
    """Scored experiments by what they are, with the marker of each kind; kinds that do not occur are left out."""
    scored = [r for r in records if distance_of(r.experiment) is not None]
    miss: Style = {"marker": "o", "ms": 5, "mfc": BLUE, "mec": BLUE}
    hit: Style = {"marker": "*", "ms": 13, "mfc": GREEN, "mec": "white"}
    again: Style = {"marker": "D", "ms": 6, "mfc": "none", "mew": 1.6}
    styles = {
        (False, False): ("miss", miss),
        (True, False): ("hit", hit),
        (True, True): ("replicate, hit", again | {"mec": GREEN}),
        (False, True): ("replicate, miss", again | {"mec": BLUE}),
    }
    kinds = [
        (*style, [r for r in scored if (r.experiment.hit, r.experiment.replicate_of is not None) == kind])
        for kind, style in styles.items()
    ]
    return [kind for kind in kinds if kind[2]]


def _shade_start(axes: Axes, strip: Axes, records: Sequence[ExperimentRecord]) -> None:
    """The even filling of the space before the model takes over."""
    start = 0
    while start < len(records) and records[start].proposal.source == "sobol":
        start += 1
    if start == 0:
        return
    for panel in (axes, strip):
        panel.axvspan(0.4, records[start - 1].number + 0.5, color="#f1f1ee", lw=0, zorder=0)
    axes.text(
        0.6, 0.04, "initial Sobol points", transform=axes.get_xaxis_transform(), fontsize=8.5, color="#666666"
    )


def _failures(strip: Axes, records: Sequence[ExperimentRecord]) -> None:
    present = [o for o in PLACELESS if any(outcome_of(r.experiment) is o for r in records)]
    markers = {Outcome.UNTRUSTED: ("s", ORANGE), Outcome.NO_PRODUCT: ("x", VERMILION)}
    for height, outcome in enumerate(present):
        marker, colour = markers.get(outcome, ("+", "black"))
        x = [r.number for r in records if outcome_of(r.experiment) is outcome]
        strip.plot(x, [height] * len(x), marker, color=colour, ms=6, mfc="none", mew=1.4)
    labels = [o.value for o in present] or ["no failures"]
    strip.set_yticks(range(len(labels)), labels)
    strip.set_ylim(len(labels) - 0.4, -0.6)
    strip.set_xlim(0.4, max((r.number for r in records), default=1) + 0.6)
    strip.xaxis.set_major_locator(_whole_numbers())
    strip.set_xlabel("experiment")
    _tidy(strip)
    strip.tick_params(axis="y", length=0)


def recipes_figure(
    records: Sequence[ExperimentRecord], space: SearchSpace, best: ExperimentRecord | None
) -> bytes:
    """Each parameter against experiment number, coloured by the distance to the target."""
    shown = [p for p in space.shown if len(p.choices) != 1]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = _figure(9.0, 0.4 + 2.1 * rows)
    panels = np.atleast_1d(np.asarray(figure.subplots(rows, columns, sharex=True))).ravel()
    scored = [r for r in records if distance_of(r.experiment) is not None]
    distances = [max(distance_of(r.experiment) or 0.0, LEAST_DISTANCE) for r in scored]
    least = min(distances, default=LEAST_DISTANCE)
    # A range of no width has no colours.
    norm = LogNorm(least, max([*distances, 1.01 * least]))
    for i, parameter in enumerate(shown):
        axes = panels[i]
        _one_parameter(axes, parameter, records, best)
        axes.scatter(
            [r.number for r in scored],
            [_height(parameter, r) for r in scored],
            plotnonfinite=False,
            c=distances,
            cmap="viridis_r",
            norm=norm,
            s=26,
            edgecolors="#444444",
            linewidths=0.4,
            zorder=3,
        )
        if i >= len(shown) - columns:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("experiment", fontsize=9)
    for spare in panels[len(shown) :]:
        spare.set_visible(False)
    if scored:
        bar = figure.colorbar(
            ScalarMappable(norm, "viridis_r"), ax=list(panels), shrink=0.9, aspect=30, pad=0.015
        )
        bar.set_label("distance to target (tolerances)", fontsize=9)
        _log_ticks(bar.ax.yaxis)
    return _png(figure)


def _one_parameter(
    axes: Axes, parameter: Shown, records: Sequence[ExperimentRecord], best: ExperimentRecord | None
) -> None:
    """Scale and title, crosses for what has no distance, and a ring around the best."""
    others = [r for r in records if distance_of(r.experiment) is None]
    axes.plot([r.number for r in others], [_height(parameter, r) for r in others], "x", color=GREY, ms=5)
    if best is not None:
        height = _height(parameter, best)
        axes.axhline(height, color=VERMILION, lw=0.8, ls=(0, (5, 3)), zorder=1)
        axes.plot([best.number], [height], "o", ms=11, mfc="none", mec=VERMILION, mew=1.6, zorder=4)
    _scale(axes, parameter)
    axes.xaxis.set_major_locator(_whole_numbers())
    axes.set_title(with_unit(parameter), fontsize=9.5, loc="left")
    _tidy(axes)


def _height(parameter: Shown, record: ExperimentRecord) -> float:
    """NaN where the recipe does not set it."""
    value = record.experiment.recipe.get(parameter.name)
    return float("nan") if value is None else parameter.height(value)


def with_unit(parameter: Shown) -> str:
    return f"{parameter.name} ({parameter.unit})" if parameter.unit else parameter.name


def _scale(axes: Axes, parameter: Shown) -> None:
    if parameter.choices:
        axes.set_yticks(range(len(parameter.choices)), list(parameter.choices))
        axes.set_ylim(-0.5, len(parameter.choices) - 0.5)
        return
    lower, upper = parameter.limits
    margin = PANEL_MARGIN * (upper - lower)
    low, high = lower - margin, upper + margin
    if parameter.logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        factor = (upper / lower) ** PANEL_MARGIN
        low, high = lower / factor, upper * factor
    axes.set_ylim(low, high)
