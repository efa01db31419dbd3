"""The map as a picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse as Drawn

from solvus.models.latent.map_content import COLOURS, MapContent, Named, families_shown

LINES = ("#000000", "#cc3311", "#009988", "#ee7733", "#0077bb", "#882255")


def draw_map(content: MapContent, path: Path) -> None:
    """Write .png, .pdf or .svg."""
    figure = Figure(figsize=(9.0, 7.0), layout="constrained")
    axes: Axes = figure.subplots()
    family = np.array(content.family)
    for name in families_shown(content):
        chosen = family == name
        size = 4.0 + 3.0 * np.log(np.maximum(content.atoms[chosen], 2))
        axes.scatter(
            content.place[chosen, 0],
            content.place[chosen, 1],
            s=size,
            color=COLOURS[name],
            alpha=0.55,
            lw=0,
            label=name,
        )
    for k, named in enumerate(content.patterns):
        _posterior(axes, named, LINES[k % len(LINES)])
    for k, route in enumerate(content.paths):
        colour = LINES[(k + len(content.patterns)) % len(LINES)]
        points = np.array([experiment.centre for experiment in route.experiments])
        if len(points):
            axes.plot(points[:, 0], points[:, 1], "-", color=colour, lw=0.9, alpha=0.8, label=route.name)
            axes.scatter(points[:, 0], points[:, 1], s=10, color=colour, zorder=4)
            axes.annotate("first", points[0], color=colour, fontsize=8)
            axes.annotate("last", points[-1], color=colour, fontsize=8)
    axes.set(xlabel="map 1", ylabel="map 2")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), title="size: atoms")
    figure.savefig(path, dpi=160)


def _posterior(axes: Axes, named: Named, colour: str) -> None:
    for ellipse in named.ellipses():
        axes.add_patch(
            Drawn(
                (ellipse.x, ellipse.y),
                2.0 * max(ellipse.long, 0.01),
                2.0 * max(ellipse.short, 0.01),
                angle=math.degrees(ellipse.angle),
                fill=False,
                color=colour,
                lw=1.0 + 1.5 * ellipse.weight,
                alpha=0.4 + 0.6 * ellipse.weight,
            )
        )
    axes.plot(*named.centre, "+", color=colour, ms=9, label=named.name)
    axes.annotate(
        named.name, named.centre, xytext=(6, 6), textcoords="offset points", fontsize=8, color=colour
    )
