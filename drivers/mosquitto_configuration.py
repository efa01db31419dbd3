"""A Mosquitto configuration for one laboratory: TLS, a login for everybody, and who may say what.

===========  =======================================  ==============================
who          may publish                              may read
===========  =======================================  ==============================
``agent``    commands and halts of all devices,       everything of the laboratory
             its status
a device     its own state, describe, event, result   its own command and halt
``operator`` halts of all devices                     everything of the laboratory
``watcher``  nothing                                  everything of the laboratory
===========  =======================================  ==============================

So a device that was taken over can lie about itself and about nothing else, and nobody but the agent can order
anything. Names are broker users; with client certificates the common name (CN) of the certificate is the user.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from solvus.drivers.connection import PACKET_OVERHEAD, PAYLOAD_CAP
from solvus.drivers.topics import ROOT, device_topic, status_topic

AGENT, OPERATOR, WATCHER = "agent", "operator", "watcher"
PEOPLE = (AGENT, OPERATOR, WATCHER)
DEVICE_SAYS = ("state", "describe", "event", "result")
DEVICE_HEARS = ("command", "halt")
ITERATIONS = 20_000
"""Of PBKDF2 over a random password of 192 bits: the broker computes it at every login, on its one thread."""


class ConfigurationRefused(ValueError):  # noqa: N818 -- a state of affairs, told in one sentence
    """A configuration that would not do; one sentence."""


@dataclass(frozen=True)
class ServerFiles:
    """What the broker shows of itself, and the authority it trusts for clients' certificates."""

    ca: Path
    certificate: Path
    key: Path


def users(devices: tuple[str, ...]) -> tuple[str, ...]:
    """Everybody who gets a login.

    Raises
    ------
    ConfigurationRefused
        When a device has the name of one of the others.
    """
    if taken := [device for device in devices if device in PEOPLE]:
        raise ConfigurationRefused(
            f"devices: {taken[0]!r} is the name of a broker user that is no device; rename the device"
        )
    return (*PEOPLE, *devices)


def access_list(lab: str, devices: tuple[str, ...]) -> str:
    """The text of ``acl_file``. What is not listed is refused."""
    everything = f"topic read {ROOT}/{lab}/#"
    lines = [f"# Laboratory {lab}. Written by `solvus broker configure`; what is not listed is refused."]
    lines += ["", f"user {AGENT}", everything]
    lines += [f"topic write {ROOT}/{lab}/+/{channel}" for channel in DEVICE_HEARS]
    lines += [f"topic write {status_topic(lab, '+')}"]
    lines += ["", f"user {OPERATOR}", everything, f"topic write {ROOT}/{lab}/+/halt"]
    lines += ["", f"user {WATCHER}", everything]
    for device in devices:
        lines += ["", f"user {device}"]
        lines += [f"topic read {device_topic(lab, device, channel)}" for channel in DEVICE_HEARS]
        lines += [f"topic write {device_topic(lab, device, channel)}" for channel in DEVICE_SAYS]
    return "\n".join(lines) + "\n"


def main_configuration(folder: Path, *, port: int, server: ServerFiles, client_certificates: bool) -> str:
    """The text of ``mosquitto.conf``; the other files lie beside it in ``folder``."""
    login = (
        ["require_certificate true", "use_identity_as_username true"]
        if client_certificates
        else [f"password_file {folder / 'passwords'}"]
    )
    lines = [
        "# Written by `solvus broker configure`. Run: mosquitto -c " + str(folder / "mosquitto.conf"),
        f"listener {port}",
        f"cafile {server.ca}",
        f"certfile {server.certificate}",
        f"keyfile {server.key}",
        "tls_version tlsv1.2",
        "allow_anonymous false",
        *login,
        f"acl_file {folder / 'acl'}",
        "# Nothing is dropped for a client that is away, and what is kept survives the broker.",
        "max_queued_messages 0",
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_on_changes true",
        "autosave_interval 1",
        f"max_packet_size {PAYLOAD_CAP + PACKET_OVERHEAD}",
        "set_tcp_nodelay true",
    ]
    return "\n".join(lines) + "\n"


def password_line(user: str, password: str) -> str:
    """One line of ``password_file``: PBKDF2-HMAC-SHA512, the format ``$7$`` of mosquitto_passwd 2.0."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    parts = ("7", str(ITERATIONS), base64.b64encode(salt).decode(), base64.b64encode(digest).decode())
    return f"{user}:${'$'.join(parts)}"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


@dataclass(frozen=True)
class Written:
    """What was written: the main file, and for each user where the password is (none with client certificates)."""

    configuration: Path
    password_files: dict[str, Path]


def write_configuration(
    folder: Path,
    lab: str,
    devices: tuple[str, ...],
    *,
    port: int,
    server: ServerFiles,
    client_certificates: bool = False,
) -> Written:
    """Write ``mosquitto.conf``, ``acl`` and, unless clients show certificates, new passwords.

    Each password lies in a file of its own under ``secrets``, to be carried to the one machine that needs it; the
    broker gets hashes only. Passwords that are there already are kept.

    Raises
    ------
    ConfigurationRefused
        For a device of a reserved name.
    """
    names = users(devices)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "acl").write_text(access_list(lab, devices), encoding="utf-8")
    kept: dict[str, Path] = {}
    if not client_certificates:
        kept = {name: folder / "secrets" / f"{name}.password" for name in names}
        (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
        lines = [password_line(name, _password(file)) for name, file in kept.items()]
        write_private(folder / "passwords", "\n".join(lines) + "\n")
    main = folder / "mosquitto.conf"
    text = main_configuration(folder, port=port, server=server, client_certificates=client_certificates)
    main.write_text(text, encoding="utf-8")
    return Written(main, kept)


def _password(file: Path) -> str:
    if not file.is_file():
        write_private(file, secrets.token_urlsafe(24) + "\n")
    return file.read_text(encoding="utf-8").strip()
