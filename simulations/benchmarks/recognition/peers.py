"""G(r) by the programs of the field: DebyeCalculator for clusters, diffpy.pdffit2 for crystals.

Both come with ``pip install 'solvus[bench]'`` and are imported when first asked for. Lengths in angstrom, Q in
1/angstrom, displacements U in angstrom^2, B = 8 pi^2 U.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import math
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvus.models.structures.record import Record
from solvus.models.structures.record_structure import structure_of

Floats = NDArray[np.float64]

HALF = 2.0
"""DebyeCalculator sums each pair once and does not double: its G is half of what everybody else calls G."""
Q_STEP = math.pi / 72.0
"""1/angstrom. A sum over such steps repeats itself after 144 angstrom, beyond any distance of a cluster with its
reflection."""
PACKAGES = {"debyecalculator": "DebyeCalculator", "diffpy.pdffit2": "diffpy.pdffit2"}


class PeerError(ValueError):
    """A program that is not installed, or that cannot compute a structure. One sentence."""


def _loaded(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PeerError(
            f"{PACKAGES[module]}: not installed ({error}); test patterns of an independent engine need "
            "pip install 'solvus[bench]'"
        ) from error


def version(module: str) -> str:
    """``DebyeCalculator 1.1.1``, for the recipe of a set.

    Raises
    ------
    PeerError
        When it is not installed.
    """
    _loaded(module)
    return f"{PACKAGES[module]} {importlib.metadata.version(PACKAGES[module])}"


@cache
def _debyecalculator() -> Any:
    module = _loaded("debyecalculator")
    torch = importlib.import_module("torch")
    return module.DebyeCalculator(device="cpu", qstep=Q_STEP, dtype=torch.float64, num_threads=1)


def cluster_pdf(
    species: Sequence[str],
    positions: Floats,
    r: Floats,
    *,
    qmin: float,
    qmax: float,
    qdamp: float,
    b_iso: float,
) -> Floats:
    """G at ``r`` (equal steps from 0) of a cluster with one displacement for all atoms: (n,).

    Parameters
    ----------
    positions : (atoms, 3).
    """
    step = float(r[1] - r[0])
    calculator = _debyecalculator()
    with warnings.catch_warnings():  # of a Q step that suits rmax alone, which this one is finer than
        warnings.simplefilter("ignore", UserWarning)
        calculator.update_parameters(
            qmin=qmin,
            qmax=qmax,
            qdamp=qdamp,
            biso=b_iso,
            rmin=0.0,
            rmax=float(r[-1]) + 0.5 * step,
            rstep=step,
        )
        curve = calculator.gr((list(species), np.asarray(positions, dtype=np.float64)))
    return HALF * np.asarray(curve.g, dtype=np.float64).ravel()


@cache
def _pdffit() -> tuple[Any, Any]:
    module = _loaded("diffpy.pdffit2")
    module.redirect_stdout(io.StringIO())
    return module.PdfFit(), importlib.import_module("diffpy.structure")


def crystal_pdf(record: Record, r: Floats, *, cell: Sequence[float], u_iso: Floats, delta2: float) -> Floats:
    """G at ``r`` (equal steps, not from 0) of an endless crystal without limits of Q and without damping: (n,).

    Parameters
    ----------
    cell : a, b, c, alpha, beta, gamma, which may differ from those of the record; fractional coordinates stay.
    u_iso : (sites,) as :func:`~solvus.models.structures.record_structure.structure_of` orders them.
    delta2 : angstrom^2, of correlated motion.

    Raises
    ------
    PeerError
        When the program is missing or refuses the structure.
    """
    fit, diffpy = _pdffit()
    sites = structure_of(record)
    lattice = diffpy.Lattice(*cell)
    atoms = [
        diffpy.Atom(name, place, occupancy=share, Uisoequiv=u, lattice=lattice)
        for name, place, share, u in zip(
            sites.species, sites.positions.tolist(), sites.occupancy.tolist(), u_iso.tolist(), strict=True
        )
    ]
    fit.reset()
    try:
        fit.add_structure(diffpy.Structure(atoms, lattice=lattice))
        fit.alloc("X", 0.0, 0.0, float(r[0]), float(r[-1]), len(r))
        fit.setvar("delta2", delta2)
        fit.calc()
    except (RuntimeError, ValueError) as error:
        raise PeerError(f"{record.name}: pdffit2 cannot compute it ({error})") from error
    g = np.array(fit.getpdf_fit())
    if not np.isfinite(g).all():
        raise PeerError(f"{record.name}: pdffit2 gives a curve that is not finite")
    return g
