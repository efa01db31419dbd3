"""The table of ``solvus evaluate autoencoder``: Markdown, JSON, and a picture of the errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Picture

from solvus.simulations.benchmarks.latent.rows import Figure, Row

ERRORS = ("families", "faulted", "varied")


def document(rows: Sequence[Row], version: str, seed: int) -> dict[str, Any]:
    """Everything, for programs."""
    return {"weights": version, "seed": seed, "rows": [asdict(row) for row in rows]}


def write_report(rows: Sequence[Row], version: str, seed: int, folder: Path) -> None:
    """Write ``report.md``, ``report.json`` and ``errors.png``, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    _whole(folder / "report.md", markdown(rows, version, seed))
    _whole(folder / "report.json", json.dumps(document(rows, version, seed), indent=1) + "\n")
    if any(row.key in ERRORS for row in rows):
        _draw(rows, folder / "errors.png")


def markdown(rows: Sequence[Row], version: str, seed: int) -> str:
    """The table for people."""
    lines = [f"# Autoencoder {version}", "", f"Seed {seed}; intervals of 95 %.", ""]
    for row in rows:
        lines += [f"## {row.title} (n = {row.n})", "", f"DeepStruc: {row.peer}", ""]
        lines += ["| figure | measured | goal |", "|---|---|---|"]
        lines += [f"| {figure.name} | {told(figure)} | {figure.goal or '-'} |" for figure in row.figures]
        lines.append("")
    return "\n".join(lines)


def told(figure: Figure) -> str:
    """A figure in words."""
    if figure.value is None:
        return "-"
    digits = 1 if figure.unit in ("%", "s") else 4
    unit = f" {figure.unit}" if figure.unit else ""
    if figure.low is None or figure.high is None:
        return f"{figure.value:.{digits}f}{unit}"
    return f"{figure.value:.{digits}f}{unit} ({figure.low:.{digits}f}-{figure.high:.{digits}f})"


def _draw(rows: Sequence[Row], path: Path) -> None:
    """How many answers err by less than a given amount; misses never do."""
    picture = Picture(figsize=(7.0, 4.2), layout="constrained")
    axes = picture.subplots()
    for row in rows:
        if row.key not in ERRORS:
            continue
        for name, style in (("error", "-"), ("relaxed", "--")):
            errors = sorted(a[name] for a in row.answers if a[name] is not None)
            heights = [100.0 * (k + 1) / row.n for k in range(len(errors))]
            label = f"{row.key}{', atoms refined' if name == 'relaxed' else ''}"
            axes.step(errors, heights, style, where="post", label=label)
    axes.set(xscale="log", xlabel="mean absolute coordinate error / Å", ylabel="answers / %", ylim=(0, 101))
    axes.axvline(0.05, color="#999999", lw=0.8)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    part = path.with_suffix(".part.png")
    picture.savefig(part, dpi=130)
    part.replace(path)


def _whole(path: Path, text: str) -> None:
    part = path.with_suffix(f"{path.suffix}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
