"""Every structure of the catalogue as a short curve, from which its G(r) under any conditions is one matrix product.

The *signature* of a structure is F(Q) at the odd multiples of ``STEP`` / 2 up to ``Q_LIMIT``, with distances up to
``REACH`` only (those of crystals fade out before it) and the displacement ``U_ISO`` for every atom. Stretched by e it
is

    G_e(r) = 2/pi sum_j F(q_j) exp(-du (q_j / e)^2) sin(q_j r / e) dq / e^2,      Qmin e <= q_j <= Qmax e,

right for r up to about ``REACH`` less the range of the fading. Q in 1/angstrom, r in angstrom. The shipped signatures
are built with the catalogue by ``solvus library build``; those of a user's own structures are made when needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.form_factors import ElementError
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.sine_transforms import to_half_steps
from solvus.models.structures import catalogue_file
from solvus.models.structures.build import worker_pool
from solvus.models.structures.record import Record
from solvus.models.structures.record_json import trusted
from solvus.models.structures.record_structure import structure_of
from solvus.models.structures.shipped import DataFile

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Radiation = Literal["xray", "neutron"]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]

DATA = Path(__file__).with_name("signatures.npz")
FORMAT = 1
REACH = 40.0
"""angstrom: distances to 25 angstrom are right, the rest fades."""
FADING = 12.0
SHORT = 2.0
"""angstrom by which crystals go on beyond: what it changes stands near Qmax, beyond the signature."""
SPARE = 2.0
Q_LIMIT = 30.0
R_STEP = 0.05
STEP = math.pi / REACH
U_ISO = 0.003
"""angstrom^2, below that of any atom at room temperature; what is missing is added when patterns are compared."""
MARGIN = 1.001
"""Room for rounding. Whole numbers make builds on different machines agree to the last bit."""


class SignatureError(ValueError):
    """The data file is missing or of another format. One sentence."""


@dataclass(frozen=True)
class Signatures:
    """F(q) of ``names``, (n, m), at ``q`` (m,). ``crystalline`` (n,): whether a size can limit it; ``catalogue``:
    version of the one they belong to."""

    names: tuple[str, ...]
    crystalline: NDArray[np.bool_]
    f: Singles
    version: str
    catalogue: str = ""

    @property
    def q(self) -> Floats:
        return np.asarray(STEP * (np.arange(self.f.shape[1]) + 0.5), dtype=np.float64)

    def subset(self, names: Iterable[str]) -> Signatures:
        """Those of ``names``; what is unknown is left out."""
        wanted = set(names)
        kept = [k for k, name in enumerate(self.names) if name in wanted]
        return Signatures(
            tuple(self.names[k] for k in kept),
            self.crystalline[kept],
            self.f[kept],
            self.version,
            self.catalogue,
        )

    def joined(self, other: Signatures) -> Signatures:
        return Signatures(
            self.names + other.names,
            np.concatenate([self.crystalline, other.crystalline]),
            np.concatenate([self.f, other.f]),
            self.version,
            self.catalogue,
        )


def signature(record: Record, radiation: Radiation) -> Floats:
    """F(q) of one structure: (m,).

    Raises
    ------
    ElementError
        For an element without tabulated scattering.
    """
    wide = Settings(rmax=REACH, rstep=R_STEP, qmax=Q_LIMIT + SPARE, extension=SHORT, radiation=radiation)
    curves = calculate(structure_of(record, U_ISO), wide)
    x = ((curves.r - (REACH - FADING)) / FADING).clamp(0.0, 1.0)
    faded = curves.g * torch.cos(0.5 * math.pi * x) ** 2
    f: Floats = to_half_steps(faded, round(REACH / R_STEP), round(Q_LIMIT / STEP)).numpy() * R_STEP
    return f


def signatures_of(
    records: Sequence[Record],
    radiation: Radiation,
    *,
    processes: int = 1,
    progress: Progress = lambda rows, total: rows,
) -> Signatures:
    """Of several structures; those that the radiation has no data for are left out.

    Parameters
    ----------
    processes : spawned, one thread each; the answer does not depend on their number.
    progress : wraps the rows as they come, given how many there will be.
    """
    asked = [(record, radiation) for record in records]
    with worker_pool(processes) if processes > 1 else contextlib.nullcontext() as pool:
        found = map(_row, asked) if pool is None else pool.map(_row, asked, chunksize=8)
        computed = list(progress(found, len(asked)))
    kept = [record for record, row in zip(records, computed, strict=True) if row is not None]
    rows = [row for row in computed if row is not None]
    f = np.stack(rows) if rows else np.zeros((0, round(Q_LIMIT / STEP)))
    return Signatures(
        tuple(record.name for record in kept),
        np.array([record.periodic for record in kept], dtype=bool),
        f.astype(np.float32),
        "made here",
    )


def _row(asked: tuple[Record, Radiation]) -> Floats | None:
    try:
        return signature(*asked)
    except ElementError:
        return None


def data_file(catalogue: bytes, *, processes: int, progress: Progress = lambda rows, total: rows) -> DataFile:
    """The signatures of the records in a catalogue file, given as its bytes."""
    entries, version = catalogue_file.decoded(catalogue)
    records = [trusted(entry["record"]) for entry in entries]
    by_radiation = {
        radiation: signatures_of(records, radiation, processes=processes, progress=progress)
        for radiation in get_args(Radiation)
    }
    content, own_version = encoded(by_radiation, version)
    return DataFile(DATA, content, own_version, len(records), lambda path: _read(path, "xray").version)


def encoded(by_radiation: Mapping[Radiation, Signatures], catalogue: str) -> tuple[bytes, str]:
    """The data file, ``numpy.savez_compressed`` of whole numbers, and its version.

    Parameters
    ----------
    catalogue : version of the catalogue that the signatures belong to.
    """
    columns: dict[str, NDArray[np.generic]] = {
        "format": np.array(FORMAT),
        "catalogue": np.array(catalogue),
    }
    for radiation, held in sorted(by_radiation.items()):
        unit = _units(held.f)
        columns[f"{radiation}_names"] = np.array(held.names)
        columns[f"{radiation}_crystalline"] = held.crystalline
        columns[f"{radiation}_unit"] = unit
        columns[f"{radiation}_levels"] = np.rint(held.f / unit[:, None]).astype(np.int16)
    digest = hashlib.sha256()
    for key in sorted(columns):
        digest.update(key.encode() + columns[key].tobytes())
    version = f"{FORMAT}.{digest.hexdigest()[:12]}"
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, version=np.array(version), **columns)
    return stream.getvalue(), version


def _units(f: Singles) -> Singles:
    """For each row the power of two of which it is at most 2^15: whole numbers of it hold the row."""
    top = np.abs(f).max(axis=1, initial=1e-6)
    units: Singles = np.exp2(np.ceil(np.log2(top * MARGIN)) - 15).astype(np.float32)
    return units


@cache
def shipped(radiation: Radiation) -> Signatures:
    """The signatures in the package.

    Raises
    ------
    SignatureError
        When the file is missing or of another format.
    """
    return _read(DATA, radiation)


def _read(path: Path, radiation: Radiation) -> Signatures:
    if not path.is_file():
        raise SignatureError(f"{path.name}: missing; make it with solvus library build")
    with np.load(path) as data:
        if int(data["format"]) != FORMAT:
            raise SignatureError(f"{path.name}: format {int(data['format'])}, this version reads {FORMAT}")
        return Signatures(
            tuple(data[f"{radiation}_names"].tolist()),
            data[f"{radiation}_crystalline"],
            data[f"{radiation}_levels"].astype(np.float32) * data[f"{radiation}_unit"][:, None],
            str(data["version"]),
            str(data["catalogue"]),
        )
