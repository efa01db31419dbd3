"""The identities made of Keggin units: whole, lacunary, fused; with the sources of their geometry.

A heteroatom is written with its oxidation state, ``P5`` for P(V).
"""

from __future__ import annotations

from solvus.models.structures.polyoxometalates import cages, fused, keggin
from solvus.models.structures.polyoxometalates.identity import Build, Identity

KEGGIN = "Brown et al., Acta Cryst. B33, 1038 (1977)"
ALTERNATION = "D'Amour and Allmann, Z. Kristallogr. 143, 1 (1976)"
TWIST = 0.1
"""angstrom: makes bridging bonds alternate by 0.16, as between 1.83 and 1.99 in PMo12O40."""
DAWSON = "D'Amour, Acta Cryst. B32, 729 (1976)"
LARGE = ("Si4", "Ge4", "As5", "Al3", "Ga3", "Fe3", "Co2", "Zn2")
"""Heteroatoms with bonds over 1.6 angstrom, which push the inner oxygens towards the metals of a Keggin ion."""


def _of_keggin(turned: int) -> Build:
    return lambda metal, hetero: keggin.keggin(metal, hetero or None, turned)


def _trilacunary(kind: str, turned: int = 0) -> Build:
    return lambda metal, hetero: keggin.trilacunary(
        keggin.keggin(metal, hetero, turned), metal, axis=0, kind=kind
    )


KEGGIN_FAMILY: tuple[Identity, ...] = (
    Identity(
        "alpha-Keggin",
        "Td",
        _of_keggin(0),
        {"W": ("",)},
        "Asami, Ichida and Sasaki, Acta Cryst. C40, 35 (1984): metatungstate H2W12O40",
        edge=3.30,
        corner=3.70,
        hydrogen={3: 0.5},
    ),
    Identity(
        "alpha-Keggin",
        "Td",
        _of_keggin(0),
        {"W": ("P5", "B3", "S6"), "Mo": ("P5", "S6")},
        KEGGIN,
        edge=3.42,
        corner=3.70,
    ),
    Identity(
        "alpha-Keggin",
        "Td",
        _of_keggin(0),
        {"W": LARGE, "Mo": ("Si4", "Ge4", "As5"), "Nb": ("Si4",)},
        "Kobayashi and Sasaki, Bull. Chem. Soc. Jpn. 48, 885 (1975)",
        edge=3.36,
        corner=3.70,
    ),
    Identity(
        "alpha-Keggin",
        "T",
        keggin.alternating,
        {"Mo": ("P5", "As5")},
        ALTERNATION,
        edge=3.41,
        corner=3.70,
        twist=TWIST,
    ),
    Identity(
        "alpha-Keggin",
        "T",
        lambda metal, _: keggin.alternating(metal, None),
        {"W": ("",)},
        f"metatungstate with the alternation of molybdates, {ALTERNATION}",
        edge=3.30,
        corner=3.70,
        hydrogen={3: 0.5},
        twist=TWIST,
        hypothetical=True,
    ),
    Identity(
        "beta-Keggin",
        "C3v",
        _of_keggin(1),
        {"W": ("P5",)},
        KEGGIN,
        edge=3.42,
        corner=3.70,
    ),
    Identity(
        "beta-Keggin",
        "C3v",
        _of_keggin(1),
        {"W": ("Si4", "Ge4", "Al3"), "Mo": ("Si4", "Ge4")},
        "Matsumoto, Kobayashi and Sasaki, Bull. Chem. Soc. Jpn. 48, 3146 (1975)",
        edge=3.36,
        corner=3.70,
    ),
    Identity(
        "gamma-Keggin",
        "C2v",
        _of_keggin(2),
        {"W": ("Si4", "Ge4")},
        "Teze et al., Inorg. Chem. 35, 1001 (1996)",
        edge=3.36,
        corner=3.70,
    ),
    Identity(
        "bicapped alpha-Keggin",
        "D2d",
        cages.bicapped_keggin,
        {"V": ("P5", "As5")},
        "Kato, Kobayashi and Sasaki, Inorg. Chem. 21, 240 (1982)",
        edge=3.15,
        corner=3.55,
    ),
    Identity(
        "bicapped alpha-Keggin",
        "D2d",
        cages.bicapped_keggin,
        {"Nb": ("P5",)},
        "Son et al., Chem. Commun. 49, 9600 (2013)",
        edge=3.47,
        corner=3.74,
    ),
    Identity(
        "alpha-Keggin, monolacunary XM11O39",
        "Cs",
        lambda metal, hetero: keggin.monolacunary(keggin.keggin(metal, hetero), metal),
        {"W": ("P5", "B3"), "Mo": ("P5",)},
        f"{KEGGIN}, and relaxation",
        edge=3.42,
        corner=3.70,
    ),
    Identity(
        "alpha-Keggin, monolacunary XM11O39",
        "Cs",
        lambda metal, hetero: keggin.monolacunary(keggin.keggin(metal, hetero), metal),
        {"W": ("Si4", "Ge4", "As5", "Al3", "Ga3"), "Mo": ("Si4", "Ge4")},
        "Fuchs, Thiele and Palm, Z. Naturforsch. 36b, 161 (1981)",
        edge=3.36,
        corner=3.70,
    ),
    Identity(
        "gamma-Keggin, dilacunary XM10O36",
        "C2v",
        keggin.dilacunary_gamma,
        {"W": ("Si4", "Ge4", "P5")},
        "Canny et al., Inorg. Chem. 25, 2114 (1986)",
        edge=3.38,
        corner=3.70,
    ),
    Identity(
        "A-alpha-Keggin, trilacunary XM9O34",
        "C3v",
        _trilacunary("A"),
        {"W": ("P5", "As5", "Si4", "Ge4"), "Mo": ("P5", "As5")},
        f"{KEGGIN}, and relaxation",
        edge=3.40,
        corner=3.70,
    ),
    Identity(
        "B-alpha-Keggin, trilacunary XM9O34",
        "C3v",
        _trilacunary("B"),
        {"W": ("P5", "As5", "Zn2", "Co2")},
        "Finke, Droege and Domaille, Inorg. Chem. 26, 3886 (1987)",
        edge=3.40,
        corner=3.70,
    ),
    Identity(
        "A-beta-Keggin, trilacunary XM9O34",
        "C3v",
        _trilacunary("A", turned=1),
        {"W": ("Si4", "Ge4")},
        "Robert and Teze, Acta Cryst. B37, 318 (1981)",
        edge=3.38,
        corner=3.70,
    ),
    Identity(
        "B-alpha-Keggin, trilacunary XM9O33 with a lone pair",
        "C3v",
        keggin.lone_pair,
        {"W": ("As3", "Sb3", "Bi3")},
        "Kim, Gaunt and Pope, J. Cluster Sci. 13, 423 (2002)",
        edge=3.36,
        corner=3.70,
    ),
    Identity(
        "alpha-Wells-Dawson",
        "D3h",
        fused.wells_dawson,
        {"W": ("P5", "As5"), "Mo": ("P5", "As5", "S6")},
        DAWSON,
        edge=3.40,
        corner=3.72,
    ),
    Identity(
        "beta-Wells-Dawson",
        "C3v",
        lambda metal, hetero: fused.wells_dawson(metal, hetero, turned=1),
        {"W": ("P5", "As5")},
        "Neubert and Fuchs, Z. Naturforsch. 42b, 951 (1987)",
        edge=3.40,
        corner=3.72,
    ),
    Identity(
        "alpha1-Wells-Dawson, monolacunary X2M17O61",
        "C1",
        fused.alpha_one,
        {"W": ("P5", "As5")},
        f"{DAWSON}, and relaxation",
        edge=3.40,
        corner=3.72,
    ),
    Identity(
        "alpha2-Wells-Dawson, monolacunary X2M17O61",
        "Cs",
        fused.alpha_two,
        {"W": ("P5", "As5")},
        f"{DAWSON}, and relaxation",
        edge=3.40,
        corner=3.72,
    ),
    Identity(
        "alpha-Wells-Dawson, trilacunary X2M15O56",
        "C3v",
        fused.trivacant,
        {"W": ("P5", "As5")},
        f"{DAWSON}, and relaxation",
        edge=3.40,
        corner=3.72,
    ),
    Identity(
        "alpha-Wells-Dawson, hexalacunary X2M12O48",
        "C2v",
        fused.hexavacant,
        {"W": ("P5",)},
        f"{DAWSON}, and relaxation",
        edge=3.40,
        corner=3.72,
    ),
    Identity(
        "Preyssler",
        "C5v",
        lambda metal, hetero: fused.preyssler(metal, hetero, "Na"),
        {"W": ("P5",)},
        "Alizadeh et al., J. Am. Chem. Soc. 107, 2662 (1985)",
        edge=3.38,
        corner=3.73,
    ),
)
