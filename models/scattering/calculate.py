"""From a structure to its curves: G(r), F(Q), S(Q) and R(r), under either convention.

    >>> gold = from_ase(ase.build.bulk("Au", cubic=True), u_iso=0.008)
    >>> curves = calculate(gold, Settings(qmax=25.0, qdamp=0.03, rmax=30.0))
    >>> curves.r, curves.g

``convention="exact"`` (the default) transforms each pair of elements with its own f_i(Q) f_j(Q) / <f(Q)>^2 over a
window wide enough to leave no trace. ``convention="srreal"`` reproduces diffpy.srreal to rounding, with its grids and
its form factors at Q = 0. They differ by up to 2 % of max |G| for one element and by more where light and heavy atoms
meet; docs/scattering.md shows it. ``engine="srreal"`` lets diffpy.srreal itself calculate, where it is installed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import torch

from solvus.models.scattering.curves import Curves
from solvus.models.scattering.engine_srreal import curves_of_srreal
from solvus.models.scattering.exact import exact_curves
from solvus.models.scattering.settings import Settings, SettingsError
from solvus.models.scattering.srreal import debye, real_space
from solvus.models.scattering.structure import Structure, StructureError

Convention = Literal["exact", "srreal"]
Method = Literal["auto", "debye", "real_space"]
Engine = Literal["solvus", "srreal"]


def calculate(
    structure: Structure,
    settings: Settings | None = None,
    *,
    convention: Convention = "exact",
    method: Method = "auto",
    engine: Engine = "solvus",
) -> Curves:
    """Calculate.

    Parameters
    ----------
    structure : one, or a batch.
    settings : ranges and instrument; tensors of b values there, or a batch of b structures, give b curves.
    convention : see the module.
    method : of the srreal convention; ``"auto"`` takes Debye's equation for finite structures and the real-space
        sum for crystals. The exact convention has one method for both.
    engine : ``"srreal"`` hands one structure and plain numbers to diffpy.srreal, whose convention is then used.

    Raises
    ------
    StructureError, SettingsError
        For what cannot be; one sentence names the field.
    """
    settings = settings or Settings()
    structure, settings = _expanded(structure, settings)
    if method not in get_args(Method):
        raise SettingsError(f"method: {method!r} is none of {', '.join(get_args(Method))}")
    if engine == "srreal":
        return curves_of_srreal(structure, settings, method)
    if engine != "solvus":
        raise SettingsError(f"engine: {engine!r} is neither solvus nor srreal")
    if convention == "exact":
        return exact_curves(structure, settings)
    if convention != "srreal":
        raise SettingsError(f"convention: {convention!r} is neither exact nor srreal")
    if method == "debye" and structure.lattice is not None:
        raise StructureError("lattice: Debye's equation is for finite structures; use method real_space")
    finite = structure.lattice is None and method != "real_space"
    return debye(structure, settings) if finite else real_space(structure, settings)


def radial_distribution(structure: Structure, settings: Settings | None = None) -> Curves:
    """R(r) and the G(r) of a measurement to endless Q: sums of Gaussians with the weights that species have at Q = 0.

    The `exact` convention gives no R(r) beside its G(r), whose peaks have the shape of their Q-dependent weights.
    One structure at a time; parameters and errors as in :func:`calculate`.
    """
    return calculate(structure, replace(settings or Settings(), qmax=None), method="real_space")


def _expanded(structure: Structure, settings: Settings) -> tuple[Structure, Settings]:
    """One expansion is a larger structure; several are left to the settings."""
    factor = settings.expansion
    if factor.ndim > 0 if isinstance(factor, torch.Tensor) else factor == 1.0:
        return structure, settings
    if structure.lattice is None:
        structure = replace(structure, positions=structure.positions * factor)
    else:
        structure = replace(structure, lattice=structure.lattice * factor)
    return structure, replace(settings, expansion=1.0)
