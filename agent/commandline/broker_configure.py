"""The body of ``solvus broker configure``."""

from __future__ import annotations

from pathlib import Path

from solvus.agent.commandline.console import fail, out, print_json
from solvus.agent.commandline.paths import configuration
from solvus.drivers.certificates import make_certificates
from solvus.drivers.laboratory import load_laboratory
from solvus.drivers.mosquitto_configuration import PEOPLE, ServerFiles, users, write_configuration


def write(
    laboratory: str,
    output: Path,
    *,
    port: int,
    hosts: tuple[str, ...],
    own: tuple[Path | None, Path | None, Path | None],
    client_certificates: bool,
    as_json: bool,
) -> None:
    given = [file for file in own if file is not None]
    if given and len(given) < len(own):
        fail("--ca, --certificate and --key belong together; give all three or none", as_json)
    if missing := [file for file in given if not file.is_file()]:
        fail(f"{missing[0]}: no such file", as_json)
    try:
        lab = load_laboratory(configuration(laboratory, "laboratories"))
        devices = tuple(device.id for device in lab.devices)
        names = users(devices)
        clients = names if client_certificates and not given else ()
        output.mkdir(parents=True, exist_ok=True)
        server = (
            ServerFiles(*(file.resolve() for file in given))
            if given
            else make_certificates(output / "certificates", hosts, clients)
        )
        written = write_configuration(
            output, lab.name, devices, port=port, server=server, client_certificates=client_certificates
        )
    except (ValueError, OSError) as error:
        fail(str(error), as_json)
    if as_json:
        print_json(
            {
                "configuration": str(written.configuration),
                "ca": str(server.ca),
                "users": list(names),
                "password_files": {name: str(file) for name, file in written.password_files.items()},
            }
        )
        return
    _tell(lab.name, hosts[0], port, written.configuration, server.ca, client_certificates)


def _tell(lab: str, host: str, port: int, main: Path, ca: Path, client_certificates: bool) -> None:
    folder = main.parent
    login = (
        [f"    tls: {{ca: {ca}, certificate: agent.crt, key: agent.key}}"]
        if client_certificates
        else [
            f"    username: {PEOPLE[0]}",
            f"    password_file: {folder / 'secrets' / 'agent.password'}",
            f"    tls: {{ca: {ca}}}",
        ]
    )
    lines = [
        f"Broker of laboratory {lab}: mosquitto -c {main}",
        "In LAB.yaml, for the agent:",
        "  broker:",
        "    kind: external",
        f"    host: {host}",
        f"    port: {port}",
        *login,
        "Carry to each device its own secret and the CA, to nobody another's (docs/security.md).",
    ]
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
