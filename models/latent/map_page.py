"""The map as one self-contained HTML file: hovering a point turns its structure about."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np

from solvus.models.latent.decode import decoded
from solvus.models.latent.map_content import COLOURS, MapContent, Named, families_shown
from solvus.models.latent.weights import Weights

MOST_POINTS = 450
MOST_ATOMS = 320
"""Atoms up to which a structure is put into the page."""
TEMPLATE = Path(__file__).with_name("map_page.html")


def write_page(content: MapContent, weights: Weights, path: Path) -> None:
    """Write the page, whole or not at all."""
    document = _document(content, weights)
    # Closing tags within the data would end the script.
    data = json.dumps(document, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    page = TEMPLATE.read_text(encoding="utf-8").replace("__DATA__", data)
    part = path.with_suffix(".part")
    part.write_text(page.replace("__VERSION__", html.escape(weights.version)), encoding="utf-8")
    part.replace(path)


def _document(content: MapContent, weights: Weights) -> dict[str, Any]:
    chosen = np.linspace(0, len(content.place) - 1, min(MOST_POINTS, len(content.place))).astype(int)
    made = decoded(weights.model, np.asarray(content.place[chosen], dtype=np.float64))
    points = []
    for row, construction in zip(chosen.tolist(), made, strict=True):
        shown = construction is not None and construction.n_atoms <= MOST_ATOMS
        atoms = np.round(construction.positions, 2).tolist() if construction is not None and shown else []
        points.append(
            {
                "x": _short(content.place[row, 0]),
                "y": _short(content.place[row, 1]),
                "family": content.family[row],
                "n": int(content.atoms[row]),
                "decoded": "" if construction is None else construction.name,
                "atoms": atoms,
            }
        )
    return {
        "colours": {name: COLOURS[name] for name in families_shown(content)},
        "points": points,
        "patterns": [_pattern(named) for named in content.patterns],
        "paths": [
            {
                "name": route.name,
                "points": [[_short(v) for v in e.centre] for e in route.experiments],
                "labels": [e.name for e in route.experiments],
            }
            for route in content.paths
        ],
    }


def _pattern(named: Named) -> dict[str, Any]:
    ellipses = [
        {key: value if isinstance(value, str) else _short(value) for key, value in vars(e).items()}
        for e in named.ellipses()
    ]
    return {"name": named.name, "ellipses": ellipses}


def _short(value: float) -> float:
    return round(float(value), 4)
