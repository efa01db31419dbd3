"""Absolute intensities: what one atom of the sample scatters on average.

    I(Q) / N = <f^2> + <f>^2 (S(Q) - 1),

the coherent part, which is Debye's sum over the atoms, self-scattering included; electrons^2 for X-rays, fm^2 for
neutrons. Compton or incoherent scattering is in :mod:`solvus.models.scattering.composition`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from solvus.models.scattering.composition import composition_of, scattering_power
from solvus.models.scattering.curves import Curves
from solvus.models.scattering.form_factors import Radiation
from solvus.models.scattering.settings import SettingsError
from solvus.models.scattering.structure import Structure


def intensity(
    structure: Structure,
    curves: Curves,
    radiation: Radiation = "xray",
    *,
    lengths: Mapping[str, float] | None = None,
) -> torch.Tensor:
    """I(Q) / N at ``curves.q``: (m,) or (b, m).

    Parameters
    ----------
    curves : of ``structure``; radiation, lengths : those they were calculated with.

    Raises
    ------
    SettingsError
        For curves of several expansions, which have a Q grid each.
    """
    if curves.q.ndim > 1:
        raise SettingsError("expansion: intensities are given for one expansion at a time")
    power = scattering_power(composition_of(structure), curves.q, radiation, lengths=lengths)
    return power.mean_square + power.square_mean * (curves.s() - 1.0)
