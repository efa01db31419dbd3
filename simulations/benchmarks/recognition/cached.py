"""Noise-free curves kept in a folder, so that a second evaluation need not compute them again.

    <folder>/<set>-<hash of the recipe>/recipe.json        what the curves depend on
                                       /00000.npz, .json   curves of draws 0-49 and what they were made of

A changed recipe gets another hash and so another folder; nothing is ever out of date.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvus.models.structures.own import write_atomically

Floats = NDArray[np.float64]

FORMAT = 1
"""Raised when the meaning of what is kept, or the way it is computed, changes."""
CHUNK = 50
"""Draws in one file: what an interruption may lose."""


@dataclass(frozen=True)
class Clean:
    """A noise-free curve ``g`` (n,) with what it was made of, as
    :class:`~solvus.simulations.benchmarks.recognition.draws.Draw` explains it."""

    g: Floats
    truth: str
    type: str
    elements: frozenset[str]
    conditions: Mapping[str, float]
    diameter: float | None = None
    bond: float | None = None


class Shelf:
    """The curves of one recipe.

    Parameters
    ----------
    folder : of all recipes; made when missing.
    name : of the set; recipe : JSON values that the curves depend on.
    """

    def __init__(self, folder: Path, name: str, recipe: Mapping[str, Any]) -> None:
        text = json.dumps({**recipe, "set": name, "format": FORMAT}, sort_keys=True)
        self.folder = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / "recipe.json", f"{text}\n".encode())

    def rows(self, make: Callable[[int], Clean], count: int) -> Iterator[Clean]:
        """Draws 0 to ``count`` - 1; those that are not kept yet are made and kept."""
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            kept = self._read(start)
            if len(kept) < stop - start:
                kept += [_rounded(make(index)) for index in range(start + len(kept), stop)]
                self._write(start, kept)
            yield from kept[: stop - start]

    def _files(self, start: int) -> tuple[Path, Path]:
        return self.folder / f"{start:05d}.npz", self.folder / f"{start:05d}.json"

    def _read(self, start: int) -> list[Clean]:
        curves, facts = self._files(start)
        if not (curves.is_file() and facts.is_file()):
            return []
        with np.load(curves) as data:
            g = data["g"].astype(np.float64)
        entries = json.loads(facts.read_text(encoding="utf-8"))
        if len(entries) != len(g):  # another process is writing them
            return []
        return [
            Clean(row, **{**entry, "elements": frozenset(entry["elements"])})
            for row, entry in zip(g, entries, strict=True)
        ]

    def _write(self, start: int, rows: list[Clean]) -> None:
        curves, facts = self._files(start)
        stream = io.BytesIO()
        np.savez_compressed(stream, g=np.stack([row.g for row in rows]).astype(np.float32))
        entries = [
            {
                "truth": row.truth,
                "type": row.type,
                "elements": sorted(row.elements),
                "diameter": row.diameter,
                "bond": row.bond,
                "conditions": dict(row.conditions),
            }
            for row in rows
        ]
        facts.unlink(missing_ok=True)  # curves of one write never stand beside the facts of another
        write_atomically(curves, stream.getvalue())
        write_atomically(facts, f"{json.dumps(entries)}\n".encode())


def _rounded(row: Clean) -> Clean:
    """What will be read back: single precision adds 1e-7 of the highest peak, far below the noise of any pattern."""
    return replace(row, g=row.g.astype(np.float32).astype(np.float64))
