"""Spheres of close-packed layers in any stacking: twins, stacking faults and polytypes between fcc and hcp.

In units of the bond length b. A layer is called *h* when its two neighbours lie above the same sites, *c* when they
do not (Jagodzinski's notation): all c is fcc, all h is hcp, hc is the double hcp of lanthanum, hhc that of samarium.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HEIGHT = math.sqrt(2.0 / 3.0)
"""Distance of neighbouring layers."""
POLYTYPES = ("hccc", "hcc", "hc", "hhcc", "hhc", "hhhc")
"""Periods from fcc to hcp; the shares of h are 1/4, 1/3, 1/2, 1/2, 2/3 and 3/4."""
SINGLE_FAULTS = {
    "intrinsic-fcc": ("c", "hh"),
    "extrinsic-fcc": ("c", "hch"),
    "growth-hcp": ("h", "c"),
    "deformation-hcp": ("h", "cc"),
}
"""One fault near the centre of a crystal: the letter of the crystal, and those of the faulted layers."""


def stacked_sphere(radius: float, steps_of: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> Floats:
    """Sites of stacked layers within ``radius`` of an atom in layer 0.

    Parameters
    ----------
    steps_of : given the numbers of the layers, the step from each to the next: +1 (ABC) or -1 (ACB).

    Returns
    -------
    (n, 3) unit geometry.
    """
    layers = np.arange(-int(radius / HEIGHT) - 1, int(radius / HEIGHT) + 2)
    stacking = np.concatenate([[0], np.cumsum(steps_of(layers)[:-1])])
    stacking -= stacking[np.flatnonzero(layers == 0)[0]]
    first, second = np.array([1.0, 0.0, 0.0]), np.array([0.5, math.sqrt(0.75), 0.0])
    reach = np.arange(-2 * math.ceil(radius) - 3, 2 * math.ceil(radius) + 4)
    i, j = (axis.reshape(-1, 1) for axis in np.meshgrid(reach, reach))
    plane = i * first + j * second
    shift = (first + second) / 3.0
    up = np.array([0.0, 0.0, HEIGHT])
    sites = np.vstack([plane + (s % 3) * shift + k * up for k, s in zip(layers, stacking, strict=True)])
    chosen: Floats = sites[np.linalg.norm(sites, axis=1) <= radius + 1e-6]
    return chosen


def twinned_sphere(radius: float, twins: int) -> Floats:
    """Close-packed layers within ``radius`` (in b) whose stacking reverses at one or two twin planes.

    One plane lies a third of the radius off the centre, two lie half a radius on either side: the commonest
    growth faults of fcc particles, which shift the far neighbours and leave the near ones.

    Returns
    -------
    (n, 3) unit geometry.
    """
    planes = (
        [round(radius / 3.0 / HEIGHT)] if twins == 1 else [round(s * radius / 2.0 / HEIGHT) for s in (-1, 1)]
    )
    # The step changes sign at each twin plane.
    return stacked_sphere(
        radius, lambda layers: np.array([(-1) ** sum(layer >= plane for plane in planes) for layer in layers])
    )


def faulted_sphere(radius: float, stacking: str) -> Floats:
    """A sphere of a polytype, or of a close-packed crystal with one fault through its centre.

    Parameters
    ----------
    stacking : one of ``POLYTYPES`` or ``SINGLE_FAULTS``.

    Returns
    -------
    (n, 3) unit geometry.
    """

    def steps_of(layers: NDArray[np.int64]) -> NDArray[np.int64]:
        hexagonal = np.array([letter_of(int(layer), stacking) == "h" for layer in layers])
        # An h layer turns the direction of the step around, a c layer keeps it.
        turned: NDArray[np.int64] = np.cumprod(np.where(hexagonal, -1, 1))
        return turned

    return stacked_sphere(radius, steps_of)


def letter_of(layer: int, stacking: str) -> str:
    """h or c."""
    if stacking in SINGLE_FAULTS:
        crystal, fault = SINGLE_FAULTS[stacking]
        return fault[layer] if 0 <= layer < len(fault) else crystal
    return stacking[layer % len(stacking)]
