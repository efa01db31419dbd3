"""Bond valences and bond lengths of metals and heteroatoms with oxygen: the numbers that drafts relax towards.

    s = exp((R0 - d) / B),  sum of s over the bonds of an atom = its oxidation state

with d in angstrom and B = 0.37 angstrom. R0 after Brown and Altermatt, Acta Cryst. B41, 244 (1985) where they give it,
marked * after Brese and O'Keeffe, Acta Cryst. B47, 192 (1991).
"""

from __future__ import annotations

import math

SOFTNESS = 0.37
"""angstrom: B of both tables."""

R0: dict[tuple[str, int], float] = {
    ("W", 6): 1.917,
    ("Mo", 6): 1.907,
    ("V", 5): 1.803,
    ("V", 4): 1.784,
    ("Nb", 5): 1.911,
    ("Ta", 5): 1.920,
    ("Cr", 6): 1.794,
    ("Cr", 3): 1.724,
    ("B", 3): 1.371,
    ("Al", 3): 1.651,
    ("Ga", 3): 1.730,
    ("Si", 4): 1.624,  # *
    ("Ge", 4): 1.748,
    ("P", 5): 1.617,
    ("As", 5): 1.767,
    ("As", 3): 1.789,
    ("Sb", 3): 1.973,
    ("Sb", 5): 1.942,
    ("Bi", 3): 2.094,
    ("S", 6): 1.624,
    ("Te", 6): 1.917,
    ("I", 7): 1.93,  # *
    ("Mn", 2): 1.790,
    ("Mn", 4): 1.753,
    ("Fe", 3): 1.759,
    ("Co", 2): 1.692,
    ("Co", 3): 1.70,  # *
    ("Ni", 2): 1.654,
    ("Cu", 2): 1.679,
    ("Zn", 2): 1.704,
    ("Pt", 4): 1.879,
    ("Y", 3): 2.019,
    ("La", 3): 2.172,
    ("Ce", 3): 2.151,  # *
    ("Ce", 4): 2.028,  # *
    ("Eu", 3): 2.074,
    ("Gd", 3): 2.065,  # *
    ("Th", 4): 2.167,  # *
    ("U", 4): 2.112,  # *
    ("Na", 1): 1.803,
}


OWN: dict[tuple[str, int], float] = {
    # Brown et al., Acta Cryst. B33, 1038 (1977); Allmann, Acta Cryst. B27, 1393 (1971)
    ("W", 1): 1.70,
    ("W", 2): 1.73,
    ("W", 3): 1.77,
    # Nagano and Sasaki, Acta Cryst. B35, 2387 (1979); Evans et al., J. Chem. Soc. Dalton Trans. 505 (1975)
    ("Mo", 1): 1.68,
    ("Mo", 2): 1.71,
    ("Mo", 3): 1.75,
    # Evans, Inorg. Chem. 5, 967 (1966)
    ("V", 1): 1.60,
    # Graeber and Morosin, Acta Cryst. B33, 2137 (1977); three on the cap of Nb7O22
    ("Nb", 1): 1.76,
    ("Nb", 3): 1.85,
    # Matsumoto et al., Inorg. Chem. 52, 7825 (2013)
    ("Ta", 1): 1.79,
}
"""angstrom: bonds to the oxygens that belong to one metal alone, by how many of them it has."""

OWN_IN_TETRAHEDRON: dict[tuple[str, int], float] = {
    ("Mo", 1): 1.72,  # Fuchs and Hartl, Angew. Chem. Int. Ed. 15, 375 (1976)
    ("Mo", 3): 1.72,  # Day et al., J. Am. Chem. Soc. 99, 6146 (1977)
    ("W", 3): 1.73,  # as the molybdate, with the difference of the octahedra
    ("V", 2): 1.65,  # Fuchs, Mahjour and Pickardt, Angew. Chem. Int. Ed. 15, 374 (1976)
    ("V", 3): 1.69,  # leaves the bridge of V2O7 a valence of 0.95, a bond of 1.82
    ("Cr", 3): 1.61,  # Brandon and Brown, Can. J. Chem. 46, 933 (1968)
}


def length_of(element: str, oxidation: int, valence: float) -> float:
    """d for a bond of this valence, angstrom."""
    return R0[element, oxidation] - SOFTNESS * math.log(valence)
