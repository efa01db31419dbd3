"""Patterns per second: simulating 10,000 with their noise, and matching 10,000 against the library of clusters.

One thread, CPU time. Simulation: clusters and crystals, each pattern under its own Qmin, Qmax, Qdamp, qbroad, u,
delta2, expansion, size and counts, the distances found anew. Matching: patterns of one instrument with its noise,
every geometry of the library at every bond length within 5 % of the metal's and three displacements, the library's
curves made anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase.build import bulk

from solvus.models.recognition.bulk_matching import match_many, matchers
from solvus.models.recognition.matching import Setting, bond_indices
from solvus.models.scattering.bulk import ConditionRanges, simulate_bulk
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.structure import Structure, crystal, from_ase
from solvus.models.structures.library import Entry, Library, require_metal

PATTERNS = 10_000
GRID = Settings(rmin=1.0, rmax=30.0, rstep=0.05)
METAL = "Au"
SMALLEST, LARGEST = 50, 1500
"""Atoms of the clusters simulated: what a particle of 1 to 3 nm holds."""
MEMBERS = 20
SIZES_ALIKE = 0.05
"""Relative difference in diameter within which a match counts as right beside its family."""
RANGE = 0.05


@dataclass(frozen=True)
class Bulk:
    """What was done, in CPU seconds."""

    name: str
    patterns: int
    seconds: float
    note: str

    @property
    def rate(self) -> float:
        return self.patterns / self.seconds


def bench_bulk(patterns: int = PATTERNS) -> Iterator[Bulk]:
    """Both figures as they come; ``patterns`` of each, a multiple of 50."""
    library = Library.load()
    entries = _spread(library.subset(smallest=SMALLEST, largest=LARGEST), MEMBERS)
    yield _simulation(library, entries, patterns)
    yield _matching(library, entries, patterns)


def _spread(entries: Sequence[Entry], count: int) -> list[Entry]:
    """Some of them, evenly over their sizes."""
    ordered = sorted(entries, key=lambda e: (e.n_atoms, e.name))
    places = np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(int))
    return [ordered[int(k)] for k in places]


def _clusters(library: Library, entries: Sequence[Entry]) -> list[Structure]:
    return [from_ase(library.atoms(entry.name, METAL)) for entry in entries]


def crystals() -> list[Structure]:
    """Five of few atoms, from one element to a compound."""
    metals = [from_ase(bulk(name, cubic=True)) for name in ("Au", "Ni", "W")]
    salts = [from_ase(bulk("NaCl", "rocksalt", a=5.64, cubic=True))]
    corners = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
    middles = (0.25, 0.75)
    oxygen = [[x, y, z] for x in middles for y in middles for z in middles]
    ceria = crystal(["Ce"] * 4 + ["O"] * 8, corners + oxygen, [5.411, 5.411, 5.411, 90, 90, 90])
    return [*metals, *salts, ceria]


def _seconds(call: Callable[[], None]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _simulation(library: Library, entries: Sequence[Entry], patterns: int) -> Bulk:
    structures = [*_clusters(library, entries), *crystals()]
    ranges = ConditionRanges(diameter=(15.0, 60.0), seed=1)
    each = max(1, patterns // len(structures))

    def simulate() -> None:
        simulate_bulk(structures, each, ranges, GRID)

    taken = _seconds(simulate)
    note = (
        f"{len(structures)} structures, G(r) 1 to 30 angstrom, float32, varied conditions, counts and drift"
    )
    return Bulk("bulk simulation", each * len(structures), taken, note)


def _matching(library: Library, entries: Sequence[Entry], patterns: int) -> Bulk:
    instrument = ConditionRanges(
        qmin=(0.8, 0.8),
        qmax=(22.0, 22.0),
        qdamp=(0.03, 0.03),
        qbroad=(0.0, 0.0),
        delta2=(0.0, 0.0),
        expansion=(0.98, 1.02),
        counts=(1e5, 1e6),
        seed=2,
    )
    made = simulate_bulk(_clusters(library, entries), max(1, patterns // len(entries)), instrument, GRID)
    r, g = made.r.double().numpy(), made.g.numpy()
    bond = require_metal(METAL)
    bonds = bond_indices(bond * (1.0 - RANGE), bond * (1.0 + RANGE))
    tried = matchers(library, Setting(0.8, 22.0, 0.03, 1.5, 29.0))
    found = []

    def match() -> None:
        found.append(match_many(tried, r, g, bonds, library.entries))

    taken = _seconds(match)
    truth = [entries[k] for k in made.structure.tolist()]
    best = [library.entries[k] for k in found[0].entry.tolist()]
    right = np.mean([a.name == b.name for a, b in zip(best, truth, strict=True)])
    near = np.mean(
        [
            a.family == b.family and abs(a.diameter / b.diameter - 1.0) < SIZES_ALIKE
            for a, b in zip(best, truth, strict=True)
        ]
    )
    note = (
        f"{len(library.entries)} geometries at {len(bonds)} bond lengths and {len(tried)} widths; "
        f"{right:.1%} the very structure, {near:.1%} its family and size"
    )
    return Bulk("bulk matching", len(g), taken, note)
