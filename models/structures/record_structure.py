"""A structure of the library as the scattering engine takes it: all its sites, mixed and partly filled ones as well.

Lengths in angstrom, u in angstrom^2.
"""

from __future__ import annotations

import numpy as np

from solvus.models.refinement.symmetry import operations, orbit
from solvus.models.scattering.structure import U_DEFAULT, Structure, cluster, crystal
from solvus.models.structures.record import Record


def structure_of(record: Record, u_iso: float | None = None) -> Structure:
    """The whole cell, or the cluster.

    Parameters
    ----------
    u_iso : one displacement for all atoms; by default what the record's source gives, and ``U_DEFAULT`` where it
        gives none.

    Raises
    ------
    RefinementError
        For a space group or setting that does not exist.
    ElementError, StructureError
        For species and cells that scatter nothing.
    """
    occupancy = np.array(record.occupancy or (1.0,) * len(record.species))
    u = np.full(len(record.species), U_DEFAULT if u_iso is None else u_iso)
    if u_iso is None and record.u_iso:
        given = np.array(record.u_iso)
        u = np.where(given > 0, given, u)
    if record.cell is None:
        return cluster(record.species, record.positions, u_iso=u, occupancy=occupancy)
    group = operations(record.space_group or 1, record.setting)
    orbits = [orbit(group, place).positions for place in record.positions]
    repeats = [len(places) for places in orbits]
    return crystal(
        np.repeat(record.species, repeats).tolist(),
        np.concatenate(orbits),
        record.cell,
        u_iso=np.repeat(u, repeats),
        occupancy=np.repeat(occupancy, repeats),
    )
