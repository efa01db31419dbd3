"""Curves as a picture, one panel each, for the verbs that make curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from solvus.agent.commandline.console import fail

if TYPE_CHECKING:
    from solvus.models.pattern import Pattern

PICTURES = {".png", ".pdf", ".svg"}
AXES = {
    "G": ("$r$ / Å", "$G(r)$ / Å$^{-2}$"),
    "F": ("$Q$ / Å$^{-1}$", "$F(Q)$ / Å$^{-1}$"),
    "S": ("$Q$ / Å$^{-1}$", "$S(Q)$"),
    "I": ("$Q$ / Å$^{-1}$", "$I(Q)$"),
}
Drawn = list[tuple[str, list[tuple[str, "Pattern"]]]]
"""A title and its labelled curves, for each panel."""


def check_picture(path: Path | None) -> None:
    """End with one sentence when no picture can be written to ``path``."""
    if path is None:
        return
    if path.suffix.lower() not in PICTURES:
        fail(f"--plot: {path.name} needs the ending .png, .pdf or .svg")
    if not path.parent.is_dir():
        fail(f"--plot: no folder {path.parent}")


def draw(path: Path, panels: Drawn, *, log: bool = False) -> None:
    """Write the picture; with ``log`` both axes are logarithmic, as small-angle curves are shown."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 2.3 * len(panels) + 0.5), layout="constrained")
    for axes, (title, curves) in zip(
        figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True
    ):
        for (label, curve), colour in zip(curves, ["#4477aa", "#cc3311", "#777777", "#228833"], strict=False):
            axes.plot(curve.x, curve.y, lw=0.9, color=colour, label=label, rasterized=len(curve.x) > 5000)
            if curve.dy is not None:
                axes.fill_between(
                    curve.x, curve.y - curve.dy, curve.y + curve.dy, color=colour, alpha=0.25, lw=0
                )
        x, y = AXES[curves[0][1].quantity]
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.set_title(title, fontsize=9, loc="left")
        if log:
            axes.set_xscale("log")
            axes.set_yscale("log")
        else:
            axes.set_xlim(curves[0][1].x[0], curves[0][1].x[-1])
        if len(curves) > 1:
            axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper right")
    try:
        figure.savefig(path, dpi=200)
    except OSError as error:
        fail(f"--plot: {path} cannot be written ({error.strerror})")
