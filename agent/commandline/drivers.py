"""``solvus drivers``: which drivers there are, and what is said on the wire."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from solvus.agent.commandline.console import out, print_json

drivers_app = typer.Typer(
    no_args_is_help=True,
    help="Drivers of instruments, and the messages they exchange.",
    rich_markup_mode=None,
)


@drivers_app.command("list")
def list_drivers(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the installed drivers; a broken one is shown with its error.

    Example: solvus drivers list
    """
    from solvus.drivers.registry import available

    entries = available()
    if as_json:
        drivers = [
            {
                "name": e.name,
                "target": e.target,
                "version": None if e.driver is None else e.driver.version,
                "simulated": None if e.driver is None else e.driver.simulated,
                "error": e.error,
            }
            for e in entries
        ]
        print_json({"drivers": drivers})
        return
    table = Table("driver", "version", "simulated", "class", "trouble")
    for e in entries:
        version, simulated = (
            ("", "") if e.driver is None else (e.driver.version, "yes" if e.driver.simulated else "no")
        )
        table.add_row(e.name, version, simulated, e.target, e.error or "")
    out.print(table)


@drivers_app.command("schema")
def schema(
    asyncapi: Annotated[bool, typer.Option("--asyncapi", help="The AsyncAPI document instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As it is: the answer is JSON anyway.")] = True,
) -> None:
    """Print the JSON Schema of every message on the wire, or the AsyncAPI document.

    Example: solvus drivers schema --asyncapi > solvus-asyncapi.json
    """
    from solvus.drivers import schemas

    del as_json
    print_json(schemas.asyncapi() if asyncapi else schemas.json_schemas())
