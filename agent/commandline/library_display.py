"""How structures of the library are shown: as rows of a table, whole, or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from solvus.agent.commandline.console import out

if TYPE_CHECKING:
    from solvus.models.structures.catalogue import Item

SHOWN_SITES = 40
"""Sites that a screen takes; ``--json`` has them all."""


def summary(item: Item) -> dict[str, Any]:
    """One structure without its atoms, for JSON."""
    return {
        "name": item.name,
        "family": item.family,
        "type": item.type,
        "formula": item.formula,
        "elements": sorted(item.elements),
        "space_group": item.space_group,
        "n_atoms": item.n_atoms,
        "span": item.span,
        "source": item.source,
        "hypothetical": item.hypothetical,
        "origin": item.origin,
    }


def print_table(items: list[Item]) -> None:
    """Structures, one a line."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("structure", overflow="fold")
    table.add_column("family", no_wrap=True)
    table.add_column("type", overflow="fold")
    for column in ("group", "atoms", "span / Å"):
        table.add_column(column, justify="right", no_wrap=True)
    for item in items:
        mark = "*" if item.hypothetical and item.origin != "clusters" else ""
        group = "" if item.space_group is None else str(item.space_group)
        size = "" if item.span is None else f"{item.span:.1f}"
        table.add_row(item.name + mark, item.family, item.type, group, str(item.n_atoms), size)
    out.print(table)
    if any(item.hypothetical and item.origin != "clusters" for item in items):
        out.print("* a prototype decorated with metals, not known to exist with this cell", highlight=False)


def print_record(item: Item, document: dict[str, Any], alike: list[str]) -> None:
    """One structure with its sites; ``document`` as of `record_json.to_document`, ``alike`` the others of its class."""

    def say(text: str) -> None:
        out.print(text, markup=False, highlight=False, soft_wrap=True)

    say(f"{item.name}: {item.family}, {item.type}, {item.formula}")
    if document.get("cell"):
        lengths, angles = document["cell"][:3], document["cell"][3:]
        group = f"space group {item.space_group or 1}"
        say(f"  {group}, cell {' '.join(f'{x:g}' for x in lengths)} Å, {' '.join(f'{x:g}' for x in angles)}°")
        say(f"  {item.n_atoms} atoms in the cell; asymmetric unit, fractional:")
    else:
        say(f"  {item.n_atoms} atoms, longest distance {item.span:.2f} Å; positions in Å:")
    occupancy = document.get("occupancy") or [1.0] * len(document["species"])
    rows = list(zip(document["species"], document["positions"], occupancy, strict=True))
    for species, place, share in rows[:SHOWN_SITES]:
        part = "" if share == 1.0 else f"  filled {share:g}"
        say(f"    {species:5}" + " ".join(f"{x:10.5f}" for x in place) + part)
    if len(rows) > SHOWN_SITES:
        say(f"    ... and {len(rows) - SHOWN_SITES} more; --json lists all")
    say(f"  source: {item.source}" + ("; hypothetical" if item.hypothetical else ""))
    if alike:
        say(f"  the reference measurement cannot tell it from: {', '.join(alike)}")
