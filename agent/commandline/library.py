"""``solvus library``: the structures that Solvus knows, and the user's own among them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from solvus.agent.commandline.console import BAD_INPUT, err, fail, out, print_json
from solvus.agent.commandline.library_build import AsJson, build, classes, interrupted
from solvus.agent.commandline.library_display import print_record, print_table, summary

if TYPE_CHECKING:
    from solvus.models.structures.adding import Outcome, Shelf
    from solvus.models.structures.catalogue import Catalogue

STATUS_WORDS = {"added": "added", "duplicate": "already there", "error": "refused"}

library_app = typer.Typer(
    no_args_is_help=True,
    help="The structures that Solvus knows, and your own among them.",
    rich_markup_mode=None,
)
Folder = Annotated[
    Path | None,
    typer.Option(
        "--library", help="Folder of your own structures. [default: $SOLVUS_LIBRARY, else your data folder]"
    ),
]
KeepDuplicates = Annotated[bool, typer.Option(help="Also keep what the library has already.")]


@library_app.command("list")
def list_structures(
    elements: Annotated[
        str | None, typer.Option(help="Only structures of no other elements than these, as in Ti,O.")
    ] = None,
    containing: Annotated[str | None, typer.Option(help="Only structures that hold all of these.")] = None,
    family: Annotated[str | None, typer.Option(help="metal, oxide, polyoxometalate or compound.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Structure type, such as spinel.")] = None,
    space_group: Annotated[int | None, typer.Option(help="Number, 1 to 230.")] = None,
    atoms: Annotated[
        tuple[int, int] | None, typer.Option(help="Least and most atoms in the cell or cluster.")
    ] = None,
    span: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Clusters whose longest distance lies between, angstrom."),
    ] = None,
    text: Annotated[str, typer.Option(help="Words in name, type, formula or source.")] = "",
    origin: Annotated[
        Literal["shipped", "own", "clusters"] | None, typer.Option(help="One shelf only.")
    ] = None,
    hypothetical: Annotated[
        bool | None, typer.Option(help="Only prototypes decorated with metals, or none.")
    ] = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """List structures by what they hold. Metal clusters appear once their metals are named.

    Example: solvus library list --elements Ti,O --no-hypothetical
    """
    catalogue = _catalogue(folder, as_json)
    try:
        found = catalogue.select(
            elements=_split(elements),
            containing=_split(containing) or [],
            family=family,
            type=kind,
            space_group=space_group,
            **({} if atoms is None else {"smallest": atoms[0], "largest": atoms[1]}),
            span=span,
            text=text,
            origin=origin,
            hypothetical=hypothetical,
        )
    except ValueError as error:
        fail(str(error), as_json)
    if as_json:
        print_json({"version": catalogue.version, "structures": [summary(item) for item in found]})
        return
    print_table(found)
    out.print(f"{len(found)} structures; catalogue {catalogue.version}", highlight=False)


@library_app.command()
def show(
    name: Annotated[str, typer.Argument(help='Name in the library, such as "Au icosahedron-561".')],
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Show one structure: cell, sites and source.

    Example: solvus library show "Sn white tin"
    """
    from solvus.models.structures.record_json import to_document

    catalogue = _catalogue(folder, as_json)
    try:
        item = catalogue.item(name)
        document = to_document(item.record)
        alike = catalogue.alike(item.name)
    except ValueError as error:
        fail(str(error), as_json)
    if as_json:
        print_json({**summary(item), **document, "alike": alike})
        return
    print_record(item, document, alike)


@library_app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(help="CIF, xyz or VASP files, or folders of them.")],
    name: Annotated[str | None, typer.Option(help="Name for a single structure.")] = None,
    keep_duplicates: KeepDuplicates = False,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Add structures of your own; files that cannot be used are named, the others kept.

    Example: solvus library add measured/ new_phase.cif
    """
    from solvus.models.structures.adding import add_files, structure_files

    try:
        files = structure_files(paths)
        if name is not None and len(files) > 1:
            fail(f"--name: {len(files)} files; give one", as_json)
        shelf = _shelf(folder, keep_duplicates, as_json)
        outcomes = _kept(add_files(files, shelf, name), "adding", len(files), as_json)
    except ValueError as error:
        fail(str(error), as_json)
    _report(outcomes, as_json)


@library_app.command()
def remove(
    names: Annotated[list[str], typer.Argument(help="Names of structures of your own.")],
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Remove structures of your own; shipped ones stay.

    Example: solvus library remove "TiO2 measured"
    """
    from solvus.models.structures.own import OwnLibrary, default_folder

    own = OwnLibrary(folder or default_folder())
    try:
        for name in names:
            own.remove(name)
    except ValueError as error:
        fail(str(error), as_json)
    if as_json:
        print_json({"removed": names})
    else:
        for name in names:
            out.print(f"removed {name}", markup=False, highlight=False)


@library_app.command()
def fetch(
    database: Annotated[Literal["optimade", "cod", "mp"], typer.Argument(help="Where to look.")],
    elements: Annotated[str, typer.Option(help="All elements of the structures, and no others, as in Ti,O.")],
    limit: Annotated[int, typer.Option(min=1, max=5000, help="Most structures to fetch.")] = 50,
    base: Annotated[
        str | None, typer.Option(help="Address of the database, for another OPTIMADE provider or a mirror.")
    ] = None,
    refresh: Annotated[
        bool, typer.Option(help="Ask anew instead of using answers of the last week.")
    ] = False,
    keep_duplicates: KeepDuplicates = False,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Fetch structures from a database into your own library. `mp` needs your key in MP_API_KEY.

    Example: solvus library fetch cod --elements Ti,O --limit 20
    """
    from solvus.models.structures.catalogue import require_elements
    from solvus.models.structures.databases.fetch import fetched

    try:
        wanted = require_elements(_split(elements) or [])
        if not wanted:
            fail("--elements: name at least one element, such as Ti,O", as_json)
        shelf = _shelf(folder, keep_duplicates, as_json)
        cache = None if refresh else _folder(folder) / "cache"
        found = fetched(database, sorted(wanted), limit, base=base, cache=cache)
        outcomes = _kept((shelf.take(entry) for entry in found), f"fetching from {database}", limit, as_json)
    except ValueError as error:
        fail(str(error), as_json)
    _report(outcomes, as_json)


library_app.command()(build)
library_app.command()(classes)


def _folder(folder: Path | None) -> Path:
    from solvus.models.structures.own import default_folder

    return folder or default_folder()


def _catalogue(folder: Path | None, as_json: bool) -> Catalogue:
    from solvus.models.structures.catalogue import Catalogue

    try:
        catalogue = Catalogue.load(_folder(folder))
    except ValueError as error:
        fail(str(error), as_json)
    for warning in catalogue.warnings:
        err.print(f"solvus: {warning}", markup=False, highlight=False, soft_wrap=True)
    return catalogue


def _shelf(folder: Path | None, keep_duplicates: bool, as_json: bool) -> Shelf:
    from solvus.models.structures.adding import Shelf
    from solvus.models.structures.own import OwnLibrary

    own = OwnLibrary(_folder(folder))
    return Shelf(own, _catalogue(folder, as_json), keep_duplicates=keep_duplicates)


def _split(names: str | None) -> list[str] | None:
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


def _kept(outcomes: Iterable[Outcome], what: str, total: int, as_json: bool) -> list[Outcome]:
    """All outcomes under a bar; what is interrupted or fails half-way keeps what came before."""
    from rich.progress import track

    from solvus.models.structures.adding import Outcome

    done: list[Outcome] = []
    bar = track(outcomes, what, total=total, console=err, transient=True, disable=not err.is_terminal)
    try:
        done.extend(bar)
    except KeyboardInterrupt:
        _say(done, as_json)
        interrupted("what was added so far is kept")
    except ValueError as error:
        if not done:
            raise
        done.append(Outcome(what, "error", message=str(error)))
    return done


def _report(outcomes: list[Outcome], as_json: bool) -> None:
    """What became of each structure; the exit is an error when one was refused."""
    _say(outcomes, as_json)
    if any(outcome.status == "error" for outcome in outcomes):
        raise typer.Exit(BAD_INPUT)


def _say(outcomes: list[Outcome], as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print_json({"structures": [asdict(outcome) for outcome in outcomes]})
    for outcome in outcomes:
        if outcome.status == "error":
            err.print(f"solvus: {outcome.message}", markup=False, highlight=False, soft_wrap=True)
        elif not as_json:
            said = "added" if outcome.status == "added" else "already there as"
            line = f"{outcome.origin}: {said} {outcome.name}"
            out.print(line, markup=False, highlight=False, soft_wrap=True)
    if not as_json:
        counts = [f"{sum(o.status == s for o in outcomes)} {w}" for s, w in STATUS_WORDS.items()]
        out.print(", ".join(counts), highlight=False)
