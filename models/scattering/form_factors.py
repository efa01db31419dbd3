"""How strongly one atom scatters: X-ray form factors f(Q) and neutron scattering lengths b.

Q in 1/angstrom, f in electrons, b in femtometres. X-ray values are the five-Gaussian fits of Waasmaier and
Kirfel, Acta Cryst. A51, 416 (1995), with s = Q / 4 pi,

    f(Q) = c + sum_k a_k exp(-b_k s^2),

as tabulated in `periodictable`, for 98 elements and 113 ions; anomalous terms are left out. Neutron values
are the real bound coherent lengths. A *species* is an element or an ion: ``"Ce"``, ``"Ce4+"``, ``"O2-"``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import periodictable
from numpy.typing import ArrayLike, NDArray
from periodictable.cromermann import getCMformula

Radiation = Literal["xray", "neutron", "electrons"]
"""``"electrons"`` takes the number of electrons of the neutral atom at every Q, a crude form factor that some
programs use."""

SRREAL_LENGTHS: Mapping[str, float] = {"O": 5.805}
"""Neutron lengths (fm) in which diffpy.srreal 1.4 differs from `periodictable` 2.1 (oxygen 5.8037), among the
20 elements of its reference curves: the value of Rauch and Waschkowski, Neutron Data Booklet (2003)."""

TERMS = 6
"""Five Gaussians and a constant."""

_SPECIES = re.compile(r"([A-Z][a-z]?)(?:(\d*)([+-]))?")


class ElementError(ValueError):
    """A symbol that is no element or ion, or one without tabulated scattering."""


def require_element(symbol: str) -> str:
    """The symbol itself if it names an element with 1 <= Z <= 118; raises :class:`ElementError` otherwise."""
    element = periodictable.elements.__dict__.get(symbol)
    if element is None or element.number < 1:
        raise ElementError(f"element: {symbol!r} is not a chemical element; use symbols such as Pt or Au")
    return symbol


def require_species(symbol: str) -> str:
    """The name of an element or ion with its charge written out: ``"O-"`` gives ``"O1-"``.

    Raises
    ------
    ElementError
        For anything that is neither, such as ``"Xx"`` or ``"Fe+3"``.
    """
    match = _SPECIES.fullmatch(symbol)
    if match is None:
        raise ElementError(f"element: {symbol!r} is no element or ion; use symbols such as Pt, Ce4+ or O2-")
    element, charge, sign = match.groups()
    require_element(element)
    return symbol if sign is None else f"{element}{charge or 1}{sign}"


def element_of(species: str) -> str:
    """The element of a species: ``"Ce4+"`` gives ``"Ce"``."""
    return species.rstrip("0123456789+-")


def form_factors(
    symbols: Sequence[str],
    q: ArrayLike,
    radiation: Radiation = "xray",
    *,
    lengths: Mapping[str, float] | None = None,
) -> NDArray[np.float64]:
    """Scattering amplitude of each element or ion.

    Parameters
    ----------
    symbols : elements or ions, n of them. An ion without a fit of its own is refused for X-rays; for neutrons
        its charge does not matter.
    q : (m,) in 1/angstrom.
    radiation : ``"xray"`` gives f(Q) in electrons, ``"neutron"`` the constant b in femtometres.
    lengths : neutron lengths (fm) by element that take the place of tabulated ones.

    Returns
    -------
    (n, m) float64.

    Raises
    ------
    ElementError
        For a symbol that is no element or ion or has no tabulated value.
    """
    grid = np.atleast_1d(np.asarray(q, dtype=np.float64))
    heights, widths = amplitude_terms(symbols, radiation, lengths=lengths)
    squared = (grid / (4.0 * math.pi)) ** 2
    return np.stack([a @ np.exp(-np.outer(b, squared)) for a, b in zip(heights, widths, strict=True)])


def amplitude_terms(
    symbols: Sequence[str], radiation: Radiation = "xray", *, lengths: Mapping[str, float] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients a, b of f(Q) = sum_k a_k exp(-b_k (Q / 4 pi)^2), (n, 6) each; parameters and errors as above."""
    terms = [_terms(require_species(s), radiation, lengths or {}) for s in symbols]
    heights, widths = (np.array([term[k] for term in terms], dtype=np.float64) for k in (0, 1))
    return heights, widths


def _terms(
    species: str, radiation: Radiation, lengths: Mapping[str, float]
) -> tuple[list[float], list[float]]:
    """The fit, with its constant as a term that does not fall; padded to six terms."""
    element = element_of(species)
    if radiation == "xray":
        try:
            fit = getCMformula("H" if species == "D" else species)
        except KeyError as error:
            raise ElementError(f"element: no X-ray form factor is tabulated for {species}") from error
        heights, widths = [*map(float, fit.a), float(fit.c)], [*map(float, fit.b), 0.0]
        missing = TERMS - len(heights)
        return heights + [0.0] * missing, widths + [0.0] * missing
    if radiation == "electrons":
        constant: float | None = float(getattr(periodictable, element).number)
    else:
        constant = lengths.get(element, getattr(periodictable, element).neutron.b_c)
    if constant is None:
        raise ElementError(f"element: no neutron scattering length is tabulated for {element}")
    return [float(constant)] + [0.0] * (TERMS - 1), [0.0] * TERMS
