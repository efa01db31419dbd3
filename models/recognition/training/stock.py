"""The bank of a training run on disk: its shelves, each made once and kept for a run that is taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from solvus.models.recognition.foreign.lookalikes import indistinguishable
from solvus.models.recognition.foreign.prototypes import Split
from solvus.models.recognition.foreign.splits import foreign_records
from solvus.models.recognition.labels import Labels
from solvus.models.recognition.signatures import Radiation
from solvus.models.recognition.training.bank import SHELVES, Shelf, geometry_shelf, shape_shelf, shelf_of
from solvus.models.recognition.training.recipe import Recipe
from solvus.models.recognition.training.workers import Mapping
from solvus.models.refinement.symmetry import free_cell
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.library import Library
from solvus.models.structures.record import Record

Progress = Callable[[str, Iterable[Any], int], Iterable[Any]]


def stocked(
    folder: Path,
    recipe: Recipe,
    catalogue: Catalogue,
    library: Library,
    mapping: Mapping,
    progress: Progress = lambda what, rows, total: rows,
    *,
    other: Split = "training",
) -> Path:
    """The folder of the bank that the recipe asks for, made where it is missing.

    Parameters
    ----------
    folder : of all banks; each recipe, catalogue and library has its own within.
    progress : wraps what is made, given its name and how many there will be.
    other : which split of other chemistry is taken.
    """
    own = folder / f"bank-{recipe.of_bank[:12]}-{other}-{catalogue.version}-{library.version}"
    own.mkdir(parents=True, exist_ok=True)
    labels = Labels.of(catalogue, library)
    records = [item.record for item in catalogue.items]

    def made(name: str) -> Shelf:
        if name == "geometry":
            return geometry_shelf(library, labels, count=recipe.variants_geometry, seed=recipe.seed)
        if name == "shape":
            return shape_shelf(
                labels,
                count=recipe.variants_shape,
                seed=recipe.seed,
                mapping=mapping,
                progress=lambda rows, total: progress(name, rows, total),
            )
        foreign, wide = name == "foreign", name == "wide"
        taken = [r for r in foreign_records(other) if not indistinguishable(r)] if foreign else records
        taken = [r for r in taken if _lengths(r) > 1] if wide else taken
        radiation: Radiation = "neutron" if name == "neutron" else "xray"
        return shelf_of(
            taken,
            labels,
            radiation,
            count=getattr(recipe, f"variants_{name}"),
            seed=recipe.seed + (radiation == "neutron") + 2 * wide,
            foreign=foreign,
            wide=wide,
            mapping=mapping,
            progress=lambda rows, total: progress(name, rows, total),
        )

    for name in SHELVES:
        path = own / f"{name}.npz"
        if not path.is_file():
            made(name).save(path)
    return own


def _lengths(record: Record) -> int:
    """How many cell lengths the symmetry leaves free."""
    if record.cell is None:
        return 0
    return sum(min(places) < 3 for places in free_cell(record.space_group or 1, record.cell).values())
