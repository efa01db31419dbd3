"""Where things are by default: the ledger, shipped campaigns and laboratories."""

from __future__ import annotations

import difflib
import os
from importlib.resources import files
from pathlib import Path

from solvus.drivers.yaml_file import ConfigurationError

LEDGER_OPTION_HELP = (
    "Database of the ledger: sqlite:///PATH or postgresql://HOST/DB. "
    "[default: $SOLVUS_LEDGER, else sqlite:///solvus-data/ledger.db]"
)


def default_ledger() -> str:
    return os.environ.get("SOLVUS_LEDGER", "sqlite:///solvus-data/ledger.db")


def configuration(given: str, kind: str) -> Path:
    """The file a user means by a path or by the name of a shipped configuration.

    Parameters
    ----------
    kind : ``campaigns`` or ``laboratories``.

    Raises
    ------
    ConfigurationError
        When there is no such file; it names the shipped ones.
    """
    path = Path(given).expanduser()
    if path.is_file():
        return path
    shipped = {
        Path(item.name).stem: Path(str(item))
        for item in files("solvus.configs").joinpath(kind).iterdir()
        if item.name.endswith(".yaml")
    }
    if given in shipped:
        return shipped[given]
    close = difflib.get_close_matches(given, shipped, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"shipped ones are {', '.join(sorted(shipped))}"
    raise ConfigurationError([f"{given}: no such file, and not the name of a shipped one; {hint}"])
