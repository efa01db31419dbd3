"""``solvus library build`` and ``classes``: the making of the shipped data files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, NoReturn

import typer

from solvus.agent.commandline.console import BAD_INPUT, err, fail, out, print_json

INTERRUPTED = 130
"""As shells say it."""
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def build(
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the shipped files and write nothing.")
    ] = False,
    only: Annotated[Literal["catalogue", "clusters"] | None, typer.Option(help="One part only.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Processes to compute in.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Make the shipped data files anew: the catalogue with its signatures, and the metal clusters with theirs.

    Example: solvus library build --check --processes 4
    """
    from solvus.models.structures import shipped
    from solvus.models.structures.own import write_atomically

    report: list[dict[str, Any]] = []
    try:
        for file in _data_files(only, processes):
            difference = shipped.difference(file) if check else None
            if not check:
                write_atomically(file.path, file.content)
            report.append(
                {"file": file.path.name, "version": file.version, "entries": file.entries}
                | {"bytes": len(file.content), "difference": difference}
            )
            if not as_json:
                verdict = difference or ("identical" if check else "written")
                out.print(f"{file.path.name}: {file.entries} entries, {len(file.content)} bytes, {verdict}")
    except ValueError as error:
        fail(str(error), as_json)
    except KeyboardInterrupt:
        interrupted("nothing half-made was written")
    if as_json:
        print_json({"files": report})
    if any(entry["difference"] for entry in report):
        raise typer.Exit(BAD_INPUT)


def classes(
    rebuild: Annotated[
        bool, typer.Option("--build", help="Find the classes anew and write the shipped file; takes minutes.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Processes to compute in.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Show which structures the reference measurement cannot tell apart.

    Example: solvus library classes --json
    """
    from solvus.models.structures import classes_file
    from solvus.models.structures.catalogue import Catalogue
    from solvus.models.structures.own import write_atomically

    try:
        catalogue = Catalogue.load(own_too=False)
        if rebuild:
            from solvus.models.structures.classes import MEASUREMENT, classes_of

            records = [item.record for item in catalogue.items]
            found = classes_of(records, processes=processes, progress=progress_bar("classes"))
            write_atomically(classes_file.DATA, classes_file.encoded(found, catalogue.version, MEASUREMENT))
        members, version = classes_file.read()
    except ValueError as error:
        fail(str(error), as_json)
    except KeyboardInterrupt:
        interrupted("nothing half-made was written")
    shared = sorted({c.leader: c for c in members.values()}.items())
    if version != catalogue.version:
        err.print(
            f"solvus: the classes are those of catalogue {version}, not {catalogue.version}", markup=False
        )
    if as_json:
        print_json({"catalogue": version, "classes": {leader: c.members for leader, c in shared}})
        return
    for leader, group in shared:
        others = ", ".join(f"{name} ({r_w:.3f})" for name, r_w in group.members.items() if name != leader)
        out.print(f"{leader}: {others}", markup=False, highlight=False, soft_wrap=True)
    held = sum(len(group.members) for _, group in shared)
    out.print(f"{len(shared)} classes hold {held} of {len(catalogue.items)} structures (R_w in brackets)")


def _data_files(only: str | None, processes: int) -> Iterator[Any]:
    from solvus.models.recognition import signatures
    from solvus.models.structures import shipped

    if only != "clusters":
        catalogue = shipped.catalogue(processes=processes)
        yield catalogue
        yield signatures.data_file(
            catalogue.content, processes=processes, progress=progress_bar("signatures")
        )
    if only != "catalogue":
        yield from shipped.clusters(processes=processes, progress=progress_bar("clusters"))


def progress_bar(what: str) -> Callable[[Iterable[Any], int], Iterable[Any]]:
    """A bar on stderr where a person is watching."""
    from rich.progress import track

    def shown(items: Iterable[Any], total: int) -> Iterable[Any]:
        return track(items, what, total=total, console=err, transient=True, disable=not err.is_terminal)

    return shown


def interrupted(said: str) -> NoReturn:
    """End as shells say that a command was interrupted."""
    err.print(f"solvus: interrupted; {said}", markup=False, highlight=False)
    raise typer.Exit(INTERRUPTED)
