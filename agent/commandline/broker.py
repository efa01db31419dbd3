"""``solvus broker``: a broker on this machine; ``solvus broker configure``: Mosquitto for a laboratory of several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

broker_app = typer.Typer(invoke_without_command=True)


@broker_app.callback(invoke_without_command=True)
def broker(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on, at 127.0.0.1.")] = 1883,
    mosquitto: Annotated[
        bool, typer.Option("--mosquitto", help="Mosquitto instead of the embedded broker; it keeps messages.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the address as JSON when it listens.")
    ] = False,
) -> None:
    """Run an MQTT 5 broker on this machine until Ctrl-C; `configure` writes the set-up of one with TLS and logins.

    Example: solvus broker --port 1883
    """
    if context.invoked_subcommand is None:
        from solvus.agent.commandline.services import run_broker

        run_broker(port, mosquitto=mosquitto, as_json=as_json)


@broker_app.command("configure")
def configure(
    laboratory: Annotated[str, typer.Argument(help="LAB.yaml, or the name of a shipped laboratory.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write to; made when missing.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the broker, with TLS.")] = 8883,
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address by which clients reach the broker; may be repeated."),
    ] = None,
    ca: Annotated[Path | None, typer.Option(help="Your own authority's certificate.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="The broker's certificate.")] = None,
    key: Annotated[Path | None, typer.Option(help="The broker's key.")] = None,
    client_certificates: Annotated[
        bool,
        typer.Option("--client-certificates", help="Clients log in with certificates instead of passwords."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Write a Mosquitto configuration with TLS, a login for each device, and an access list.

    Only the agent may order; a device may only speak for itself. Without --ca, --certificate and --key an authority of
    the laboratory's own is made. Passwords lie in files of their own, readable by you alone; they are kept when you run
    it again after a device was added.

    Example: solvus broker configure beamline.yaml -o /etc/solvus/broker --host broker.example.org
    """
    from solvus.agent.commandline.broker_configure import write

    write(
        laboratory,
        output,
        port=port,
        hosts=tuple(host or ("localhost", "127.0.0.1")),
        own=(ca, certificate, key),
        client_certificates=client_certificates,
        as_json=as_json,
    )
