"""Text files of measuring programs: their lines, or one sentence that says why there are none."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from solvus.models.pattern import PatternError


def refuse(path: Path, message: str, line: int | None = None) -> NoReturn:
    """Raise PatternError with the file's name, the line where there is one, and the message."""
    raise PatternError(f"{path.name}{'' if line is None else f', line {line}'}: {message}")


def read_lines(path: Path, *, largest: int, oversize: str, binary: str) -> list[str]:
    """The lines of a text file, in UTF-8 or else Latin-1.

    Parameters
    ----------
    largest : bytes; a larger file is refused.
    oversize, binary : what to say of a file that is too large, or that is no text.

    Raises
    ------
    PatternError
        Also for a directory, and a missing, unreadable or empty file.
    """
    if path.is_dir():
        refuse(path, "is a directory; name the pattern file in it")
    if not path.exists():
        raise PatternError(f"{path}: no such file")
    try:
        if path.stat().st_size > largest:
            refuse(path, f"larger than {largest // 1_000_000} MB; {oversize}")
        content = path.read_bytes()
    except OSError as error:
        refuse(path, f"cannot be read ({error.strerror})")
    if not content.strip():
        refuse(path, "is empty")
    if b"\0" in content:
        refuse(path, f"is a binary file; {binary}")
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        # Older Windows programs write angstrom signs in Latin-1, in which every byte is a character.
        return content.decode("latin-1").splitlines()
