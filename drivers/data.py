"""Patterns too large for the wire, kept in a folder under their own hash.

The file name is the SHA-256 of the bytes, the bytes are the canonical JSON of the pattern, and no path ever
comes off the wire: a reference that arrives can name nothing but content.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from pydantic import ValidationError

from solvus.drivers.messages import PatternReference, new_id
from solvus.models.pattern import Pattern, PatternError


def store_pattern(folder: Path, pattern: Pattern) -> PatternReference:
    """Write ``pattern`` to ``folder``, durably, and return the reference to it. Repeatable."""
    text = json.dumps(pattern.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)
    content = text.encode()
    digest = hashlib.sha256(content).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    # Written aside and renamed, so that a file under a hash is always whole.
    partial = folder / f".{digest}.{new_id()}"
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / f"{digest}.json")
    return PatternReference(uri=f"solvus-data:{digest}", sha256=digest, size=len(content))


def load_pattern(folder: Path, reference: PatternReference) -> Pattern:
    """The pattern behind ``reference``.

    Raises
    ------
    PatternError
        The file is missing, is not the content the reference names, or holds no pattern.
    """
    file = folder / f"{reference.sha256}.json"
    if not file.is_file():
        raise PatternError(
            f"reference: {reference.sha256} is not in {folder}; is it the laboratory's data folder?"
        )
    content = file.read_bytes()
    if len(content) != reference.size or hashlib.sha256(content).hexdigest() != reference.sha256:
        raise PatternError(
            f"reference: {file} is damaged, its bytes are not those of its name; measure again"
        )
    try:
        return Pattern.model_validate_json(content)
    except ValidationError as error:
        raise PatternError(f"reference: {file} holds no pattern ({error.errors()[0]['msg']})") from error
