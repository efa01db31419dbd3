"""The data files of the library: geometries with their unit scattering, small and the same on every machine.

Layout (``numpy.savez_compressed``; one row for each geometry unless said otherwise):

``name, family, shape``        text
``n_atoms``                    int32
``span_steps``                 int32: longest distance in steps of ``HISTOGRAM_STEP``
``n_samples, n_near``          int32: how many entries of the arrays below belong to the geometry
``planes``                     (4, all samples) uint8: the samples X(0), X(step), X(2 step), ..., see below
``near_distance, near_pairs``  int32: near distances and ordered pairs per atom, in units of ``NEAR_UNIT``
``format, version``            layout of this file, and hash of its content

Samples are rounded to multiples of ``UNIT``. What is kept is their sixth difference along q, which is small because X
is oversampled, with the sign folded into the last bit, low bytes first: a third of the size of float32. Rounding also
makes the file independent of the processor: two machines differ in the last digits of a sum, 1e-13 to 1e-12 of X, and
round differently only where a sample lies that near to the middle between two multiples.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solvus.models.scattering.unit_factor import UnitScattering

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[np.generic]]

FORMAT = 2
"""Version of the layout."""
UNIT = 2.0**-13
"""Of samples: rounding errs by 6e-5, where X at large q is about 10."""
NEAR_UNIT = 2.0**-18
"""Of near distances and pairs: 4e-6."""
HISTOGRAM_STEP = 0.002
"""Of distances, in units of b, 0.0055 angstrom for platinum: the stencil error at Q_LIMIT is 4e-5."""
PHASE_STEP = 0.4
"""Largest q step times the span: six-point interpolation then errs by 2e-5 for the longest distance."""
ORDER = 6
"""Of the differences; each order up to here made the file smaller."""


class LibraryFileError(ValueError):
    """A data file that cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Row:
    """One geometry as it is kept."""

    name: str
    family: str
    shape: str
    n_atoms: int
    span_steps: int
    scattering: UnitScattering

    @property
    def span(self) -> float:
        """Longest distance in units of b."""
        return self.span_steps * HISTOGRAM_STEP


def rounded(unit: UnitScattering) -> UnitScattering:
    """The scattering as a file returns it."""
    return UnitScattering(
        unit.step,
        np.rint(unit.samples / UNIT) * UNIT,
        np.rint(unit.near_distance / NEAR_UNIT) * NEAR_UNIT,
        np.rint(unit.near_pairs / NEAR_UNIT) * NEAR_UNIT,
    )


def encoded(rows: Sequence[Row]) -> tuple[bytes, str]:
    """The file and its version, the hash of its content."""
    columns: Arrays = {
        "name": np.array([row.name for row in rows]),
        "family": np.array([row.family for row in rows]),
        "shape": np.array([row.shape for row in rows]),
        "n_atoms": np.array([row.n_atoms for row in rows], dtype=np.int32),
        "span_steps": np.array([row.span_steps for row in rows], dtype=np.int32),
        "n_samples": np.array([len(row.scattering.samples) for row in rows], dtype=np.int32),
        "planes": np.concatenate([_planes(row.scattering.samples) for row in rows], axis=1),
        "n_near": np.array([len(row.scattering.near_distance) for row in rows], dtype=np.int32),
        "near_distance": _integers([row.scattering.near_distance for row in rows]),
        "near_pairs": _integers([row.scattering.near_pairs for row in rows]),
        "format": np.array(FORMAT),
    }
    digest = hashlib.sha256()
    for key in sorted(columns):
        digest.update(key.encode() + columns[key].tobytes())
    version = f"{FORMAT}.{digest.hexdigest()[:12]}"
    stream = io.BytesIO()
    # numpy dates every member of the archive 1980-01-01, so that equal content gives equal bytes.
    np.savez_compressed(stream, allow_pickle=False, version=np.array(version), **columns)
    return stream.getvalue(), version


def read(path: Path) -> tuple[list[Row], str]:
    """The geometries of a file and its version.

    Raises
    ------
    LibraryFileError
        When the file is missing or of another format.
    """
    if not path.is_file():
        raise LibraryFileError(f"{path.name}: the data file is missing; make it with solvus library build")
    with np.load(path) as data:
        if int(data["format"]) != FORMAT:
            raise LibraryFileError(
                f"{path.name}: format {int(data['format'])}, but this version reads {FORMAT}"
            )
        arrays = {key: data[key] for key in data.files}
    names, families, shapes = (arrays[key].tolist() for key in ("name", "family", "shape"))
    ends, near_ends = np.cumsum(arrays["n_samples"]), np.cumsum(arrays["n_near"])
    rows = []
    for i, name in enumerate(names):
        near = slice(int(near_ends[i] - arrays["n_near"][i]), int(near_ends[i]))
        steps = int(arrays["span_steps"][i])
        unit = UnitScattering(
            PHASE_STEP / (steps * HISTOGRAM_STEP),
            _samples(arrays["planes"][:, int(ends[i] - arrays["n_samples"][i]) : int(ends[i])]),
            arrays["near_distance"][near] * NEAR_UNIT,
            arrays["near_pairs"][near] * NEAR_UNIT,
        )
        rows.append(Row(name, families[i], shapes[i], int(arrays["n_atoms"][i]), steps, unit))
    return rows, str(arrays["version"])


def _integers(parts: Sequence[Floats]) -> NDArray[np.int32]:
    return np.rint(np.concatenate(parts) / NEAR_UNIT).astype(np.int32)


def _planes(samples: Floats) -> NDArray[np.uint8]:
    """(4, n) bytes of the folded differences."""
    whole = np.rint(samples / UNIT).astype(np.int64)
    differences = np.diff(whole, n=ORDER, prepend=np.zeros(ORDER, dtype=np.int64))
    folded = (differences << 1) ^ (differences >> 63)
    if folded.max() >= 2**32:
        raise LibraryFileError(f"samples: a difference of {differences.max()} units does not fit 31 bits")
    planes: NDArray[np.uint8] = folded.astype("<u4").view(np.uint8).reshape(-1, 4).T
    return planes


def _samples(planes: NDArray[np.uint8]) -> Floats:
    folded = np.ascontiguousarray(planes.T).view("<u4")[:, 0].astype(np.int64)
    whole = (folded >> 1) ^ -(folded & 1)
    for _ in range(ORDER):
        whole = np.cumsum(whole)
    samples: Floats = whole.astype(np.float64) * UNIT
    return samples
