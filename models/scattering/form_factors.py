"""How strongly one atom scatters: X-ray form factors f(Q) and neutron scattering lengths b.

Q in 1/angstrom, f in electrons, b in femtometres. X-ray values are the five-Gaussian fits of Waasmaier and
Kirfel, Acta Cryst. A51, 416 (1995), with s = Q / 4 pi,

    f(Q) = c + sum_k a_k exp(-b_k s^2),

as tabulated in `periodictable`; anomalous terms are left out. Neutron values are the real bound coherent
lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import periodictable
from numpy.typing import ArrayLike, NDArray
from periodictable.cromermann import fxrayatq

Radiation = Literal["xray", "neutron"]


class ElementError(ValueError):
    """A symbol that is no element, or an element without tabulated scattering."""


def require_element(symbol: str) -> str:
    """The symbol itself if it names an element with 1 <= Z <= 118; raises :class:`ElementError` otherwise."""
    element = periodictable.elements.__dict__.get(symbol)
    if element is None or element.number < 1:
        raise ElementError(f"element: {symbol!r} is not a chemical element; use symbols such as Pt or Au")
    return symbol


def form_factors(symbols: Sequence[str], q: ArrayLike, radiation: Radiation = "xray") -> NDArray[np.float64]:
    """Scattering amplitude of each element.

    Parameters
    ----------
    symbols : element symbols, n of them.
    q : (m,) in 1/angstrom.
    radiation : ``"xray"`` gives f(Q) in electrons, ``"neutron"`` the constant b in femtometres.

    Returns
    -------
    (n, m) float64.

    Raises
    ------
    ElementError
        For a symbol that is no element or has no tabulated value.
    """
    grid = np.atleast_1d(np.asarray(q, dtype=np.float64))
    return np.stack([_amplitude(require_element(symbol), grid, radiation) for symbol in symbols])


def _amplitude(symbol: str, q: NDArray[np.float64], radiation: Radiation) -> NDArray[np.float64]:
    if radiation == "neutron":
        length = getattr(periodictable, symbol).neutron.b_c
        if length is None:
            raise ElementError(f"element: no neutron scattering length is tabulated for {symbol}")
        return np.full(len(q), float(length))
    try:
        values = np.asarray(fxrayatq(symbol, q), dtype=np.float64)
    except KeyError as error:
        raise ElementError(f"element: no X-ray form factor is tabulated for {symbol}") from error
    return values
