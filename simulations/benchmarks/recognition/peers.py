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
from itertools import combinations
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


class Crystal:
    """A crystal in diffpy.pdffit2: G without limits of Q and without damping.

    pdffit2 gives every element one weight b for all Q, its number of electrons. For weights that depend on Q the
    partial curves are wanted,

        <b>^2 G(b) = sum_{i, j} b_i b_j T_ij,

    which follow from curves with some weights 1 and the others 0.

    Parameters
    ----------
    cell : a, b, c, alpha, beta, gamma, which may differ from those of the record; fractional coordinates stay.
    u_iso : (sites,) as :func:`~solvus.models.structures.record_structure.structure_of` orders them.
    delta2 : angstrom^2, of correlated motion.
    r : (n,) equal steps, not from 0.

    Raises
    ------
    PeerError
        When the program is missing or refuses the structure, here or when a curve is asked for.
    """

    def __init__(
        self, record: Record, r: Floats, *, cell: Sequence[float], u_iso: Floats, delta2: float
    ) -> None:
        self._fit, diffpy = _pdffit()
        self._name = record.name
        sites = structure_of(record)
        occupancy = sites.occupancy.numpy()
        names = np.array(sites.species)
        self.shares = {
            element: float(occupancy[names == element].sum() / occupancy.sum())
            for element in sorted(set(sites.species))
        }
        """Of the elements among the atoms."""
        lattice = diffpy.Lattice(*cell)
        atoms = [
            diffpy.Atom(name, place, occupancy=share, Uisoequiv=u, lattice=lattice)
            for name, place, share, u in zip(
                sites.species, sites.positions.tolist(), occupancy.tolist(), u_iso.tolist(), strict=True
            )
        ]
        self._fit.reset()
        try:
            self._fit.add_structure(diffpy.Structure(atoms, lattice=lattice))
            self._fit.alloc("X", 0.0, 0.0, float(r[0]), float(r[-1]), len(r))
            self._fit.setvar("delta2", delta2)
        except (RuntimeError, ValueError) as error:
            raise PeerError(f"{record.name}: pdffit2 cannot take it ({error})") from error

    def pdf(self) -> Floats:
        """G with pdffit2's own weights: (n,)."""
        try:
            self._fit.calc()
        except (RuntimeError, ValueError) as error:
            raise PeerError(f"{self._name}: pdffit2 cannot compute it ({error})") from error
        g = np.array(self._fit.getpdf_fit())
        if not np.isfinite(g).all():
            raise PeerError(f"{self._name}: pdffit2 gives a curve that is not finite")
        return g

    def partials(self) -> dict[tuple[str, str], Floats]:
        """T_ij by pairs of elements in alphabetical order: (n,) each."""
        own = {element: self._weighted(element) for element in self.shares}
        found = {(element, element): curve for element, curve in own.items()}
        for one, other in combinations(self.shares, 2):
            found[one, other] = 0.5 * (self._weighted(one, other) - own[one] - own[other])
        for element in self.shares:
            self._fit.reset_scat(element)
        return found

    def _weighted(self, *elements: str) -> Floats:
        """<b>^2 G where b is 1 for ``elements`` and 0 for the others: (n,)."""
        for element in self.shares:
            self._fit.set_scat("X", element, float(element in elements))
        return self.pdf() * sum(self.shares[element] for element in elements) ** 2
