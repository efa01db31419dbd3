"""diffpy.srreal itself as an engine: our Structure and Settings in, our Curves out.

Where a user has diffpy.srreal (from conda; no pip wheel exists), ``calculate(..., engine="srreal")`` lets it do the
sum: ``PDFCalculator`` for crystals and real-space sums, ``DebyePDFCalculator`` for clusters. It has one convention, its
own, which :mod:`solvus.models.scattering.srreal` reproduces to rounding without it.

:func:`translated` says in plain data what is asked of srreal, and :func:`asked` asks. A crystal goes over as lattice
parameters, fractional coordinates and displacements along the normalised reciprocal axes (the frame of the CIF), since
srreal puts the axes of a cell elsewhere than we do: with the rows of N the lattice vectors times the lengths of the
reciprocal ones, U_cartesian = N^T U N.

P. Juhas, C. L. Farrow, X. Yang, K. R. Knox, S. J. L. Billinge, Acta Cryst. A71, 562 (2015).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from solvus.models.scattering.curves import Curves
from solvus.models.scattering.form_factors import element_of
from solvus.models.scattering.settings import Settings, SettingsError
from solvus.models.scattering.structure import Structure, StructureError

HOW_TO_GET = "engine: diffpy.srreal is not installed here; conda install -c conda-forge diffpy.srreal"
TABLES = {"xray": "xray", "neutron": "neutron", "electrons": "electronnumber"}
ATTRIBUTES = ("rmin", "rmax", "rstep", "qmin", "qdamp", "qbroad", "delta1", "delta2", "scale")
"""Settings that have the same name and meaning there."""


class EngineMissing(SettingsError):  # noqa: N818 -- a state of affairs, told in one sentence
    """diffpy.srreal was asked for and cannot be imported."""


@dataclass(frozen=True)
class Site:
    """One atom; ``xyz`` and ``u`` (angstrom^2) are cartesian in a cluster, in the frame of the CIF in a crystal."""

    symbol: str
    xyz: tuple[float, ...]
    u: tuple[tuple[float, ...], ...]
    anisotropic: bool
    occupancy: float


@dataclass(frozen=True)
class Question:
    """All that is asked of srreal, in its own words.

    Attributes
    ----------
    calculator : name of its class.
    lattice : a, b, c in angstrom and alpha, beta, gamma in degrees; ``None`` for a cluster.
    table : type of its table of scattering factors; ``lengths`` (fm) take the place of that table's.
    attributes : of the calculator.
    envelopes : type of each envelope to add, with its parameter and value.
    pair : the only pair of symbols not masked out, or ``None``.
    """

    calculator: Literal["PDFCalculator", "DebyePDFCalculator"]
    sites: tuple[Site, ...]
    lattice: tuple[float, ...] | None
    table: str
    attributes: Mapping[str, float]
    envelopes: Mapping[str, tuple[str, float]]
    lengths: Mapping[str, float]
    pair: tuple[str, str] | None


def curves_of_srreal(structure: Structure, settings: Settings, method: str = "auto") -> Curves:
    """The curves that diffpy.srreal calculates.

    Parameters
    ----------
    structure, settings : one structure, plain numbers.
    method : as for :func:`solvus.models.scattering.calculate.calculate`.

    Returns
    -------
    Curves in float64, ``rdf`` from real-space sums only.

    Raises
    ------
    EngineMissing
        When it cannot be imported.
    StructureError, SettingsError
        For what srreal cannot do: gradients, batches, unequal occupancies of one element in Debye's sum; and for what
        it refuses.
    """
    return asked(translated(structure, settings, method))


def translated(structure: Structure, settings: Settings, method: str = "auto") -> Question:
    """What to ask; raises as :func:`curves_of_srreal`, but does not need srreal."""
    _refuse_gradients_and_batches(structure, settings)
    if method == "debye" and structure.lattice is not None:
        raise StructureError("lattice: Debye's equation is for finite structures; use method real_space")
    debye = structure.lattice is None and method != "real_space"
    if debye:
        _refuse_unequal_occupancies(structure)
        if settings.qmax is None:
            raise SettingsError("qmax: Debye's sum needs one")
    names = set(structure.species)
    if settings.pair is not None and (unknown := [s for s in settings.pair if s not in names]):
        known = ", ".join(sorted(names))
        raise SettingsError(f"pair: {unknown[0]!r} is not in the structure, which holds {known}")
    attributes = {name: float(getattr(settings, name)) for name in ATTRIBUTES}
    attributes["qmax"] = 0.0 if settings.qmax is None else float(settings.qmax)  # 0 is its word for none
    if debye and settings.qstep is not None:
        attributes["qstep"] = float(settings.qstep)
    envelopes: dict[str, tuple[str, float]] = {}
    if settings.diameter is not None:
        envelopes["sphericalshape"] = ("spdiameter", float(settings.diameter))
    if settings.stepcut is not None:
        envelopes["stepcut"] = ("stepcut", float(settings.stepcut))
    lengths = settings.lengths if settings.radiation == "neutron" and settings.lengths else {}
    return Question(
        calculator="DebyePDFCalculator" if debye else "PDFCalculator",
        sites=_sites(structure, settings),
        lattice=None if structure.lattice is None else _parameters(_array(structure.lattice)),
        table=TABLES[settings.radiation],
        attributes=attributes,
        envelopes=envelopes,
        lengths={s: float(lengths[element_of(s)]) for s in sorted(names) if element_of(s) in lengths},
        pair=settings.pair,
    )


def asked(question: Question) -> Curves:
    """Ask srreal; a fresh calculator each time, as a used one remembers its earlier range. Raises as
    :func:`curves_of_srreal`."""
    try:
        pdf = importlib.import_module("diffpy.srreal.pdfcalculator")
        adapters = importlib.import_module("diffpy.srreal.structureadapter")
    except ImportError as error:
        raise EngineMissing(HOW_TO_GET) from error
    calculator = getattr(pdf, question.calculator)()
    try:
        _configure(calculator, question)
        r, g = calculator(_adapter(adapters, question))
    except (ValueError, ArithmeticError) as error:  # unknown ions, ranges that it does not take
        raise StructureError(f"diffpy.srreal: {error}") from error
    rdf = _tensor(calculator.rdf) if question.calculator == "PDFCalculator" else None
    return Curves(_tensor(r), _tensor(g), _tensor(calculator.qgrid), _tensor(calculator.fq), rdf=rdf)


def _configure(calculator: Any, question: Question) -> None:
    calculator.scatteringfactortable = question.table
    for name, value in question.lengths.items():
        calculator.scatteringfactortable.setCustomAs(name, name, value)
    for kind in question.envelopes:
        calculator.addEnvelope(kind)
    values = {**question.attributes, **dict(question.envelopes.values())}
    for name, value in values.items():
        if not hasattr(calculator, name):  # it takes a misspelt attribute without a word
            raise SettingsError(f"{name}: this version of diffpy.srreal does not have it; 1.4 is supported")
        setattr(calculator, name, value)
    if question.pair is not None:
        calculator.maskAllPairs(False)
        calculator.setTypeMask(*question.pair, True)


def _adapter(adapters: Any, question: Question) -> Any:
    """srreal's own structure: with the classes of other packages it takes a cell of 1 angstrom for none."""
    periodic = question.lattice is not None
    made = adapters.PeriodicStructureAdapter() if periodic else adapters.AtomicStructureAdapter()
    if question.lattice is not None:
        made.setLatPar(*question.lattice)
    for site in question.sites:
        atom = adapters.Atom()
        atom.atomtype = site.symbol
        atom.occupancy = site.occupancy
        atom.anisotropy = site.anisotropic
        atom.xyz_cartn = np.array(site.xyz)
        atom.uij_cartn = np.array(site.u)
        if periodic:
            made.toCartesian(atom)
        made.append(atom)
    return made


def _sites(structure: Structure, settings: Settings) -> tuple[Site, ...]:
    n = len(structure.species)
    anisotropic = structure.anisotropic and settings.u_iso is None
    if settings.u_iso is not None:
        u = np.full(n, float(settings.u_iso))[:, None, None] * np.eye(3)
    elif structure.anisotropic:
        u = _array(structure.u)
    else:
        u = _array(structure.u)[:, None, None] * np.eye(3)
    if structure.lattice is not None:
        lattice = _array(structure.lattice)
        normal = lattice * np.linalg.norm(np.linalg.inv(lattice), axis=0)[:, None]
        back = np.linalg.inv(normal)
        u = back.T @ u @ back
    rows = zip(structure.species, _array(structure.positions), u, _array(structure.occupancy), strict=True)
    return tuple(
        Site(symbol, tuple(xyz.tolist()), tuple(map(tuple, tensor.tolist())), anisotropic, float(occupancy))
        for symbol, xyz, tensor, occupancy in rows
    )


def _parameters(lattice: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, ...]:
    lengths = np.linalg.norm(lattice, axis=1)
    unit = lattice / lengths[:, None]
    cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
    return tuple(lengths.tolist()) + tuple(np.degrees(np.arccos(cosines)).tolist())


def _refuse_gradients_and_batches(structure: Structure, settings: Settings) -> None:
    tensors = {
        name: value
        for holder in (structure, settings)
        for name, value in vars(holder).items()
        if isinstance(value, torch.Tensor)
    }
    if asking := next((name for name, value in tensors.items() if value.requires_grad), None):
        raise SettingsError(
            f"{asking}: diffpy.srreal gives no gradients; leave engine='srreal' out, or detach the tensor"
        )
    if structure.batch is not None:
        raise StructureError("structure: diffpy.srreal takes one at a time; leave engine='srreal' out")
    single = {
        name for name, value in vars(settings).items() if isinstance(value, torch.Tensor) and value.ndim
    }
    if single:
        raise SettingsError(
            f"{min(single)}: diffpy.srreal takes one value at a time; leave engine='srreal' out"
        )


def _refuse_unequal_occupancies(structure: Structure) -> None:
    first: dict[str, float] = {}
    for symbol, occupancy in zip(structure.species, _array(structure.occupancy).tolist(), strict=True):
        if first.setdefault(symbol, occupancy) != occupancy:
            raise StructureError(
                f"occupancy: diffpy.srreal's Debye sum takes that of the first {symbol} for all of them; "
                "leave engine='srreal' out, or use method real_space"
            )


def _array(tensor: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float64)


def _tensor(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64))
