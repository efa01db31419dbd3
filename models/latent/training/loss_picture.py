"""The losses of a run as they fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

NAMES = {
    "packing": "packing, nats",
    "height": "heights, nats each",
    "radius": "radius, nats",
    "agreement": "structure beyond its pattern, nats",
}


def draw_losses(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write a PNG, whole or not at all."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    steps = [row["step"] for row in history]
    for axes, (name, label) in zip(figure.subplots(2, 2).flat, NAMES.items(), strict=True):
        axes.plot(steps, [row[name] for row in history], lw=1.0)
        axes.set(xlabel="step", ylabel=label)
        axes.grid(alpha=0.3)
    part = path.with_suffix(".part.png")
    figure.savefig(part, dpi=110)
    part.replace(path)
