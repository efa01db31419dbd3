"""G(r) exactly as diffpy.srreal 1.4 computes it: its windows, its termination and its grids.

Use it to compare with published fits or other programs; :mod:`solvus.models.scattering.exact` is free of the
artefacts that these choices leave (up to 2 % of max |G|). Every step is a fact about that program, checked against
curves that it wrote. N is the sum of occupancies, w_i = f_i occ_i, <f> = sum w_i / N, and

    crystal   G(r) = T [ sum_ij w_i w_j / (N <f>^2 d_ij) Gauss(r - d_ij; s_ij) - 4 pi rho0 r ],   f = f(Q = 0)
    cluster   F(Q) = sum_ij w_i w_j / (N <f(Q)>^2) exp(-s_ij^2 Q^2 / 2) sin(Q d_ij) / d_ij

where T stands for the transform to Q, the cut to Qmin..Qmax and the transform back, on power-of-two grids. One of
its faults is not copied: a cluster's occupancies count for each site, not as those of the element's first site.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from solvus.models.scattering.curves import Curves
from solvus.models.scattering.form_factors import SRREAL_LENGTHS, form_factors
from solvus.models.scattering.kernels import RELATIVE_CUT, gaussians, sines
from solvus.models.scattering.pairs import (
    Pairs,
    displacements_of,
    find_pairs,
    vectors_of,
    weights_of,
)
from solvus.models.scattering.settings import Settings, SettingsError
from solvus.models.scattering.structure import Structure, StructureError

RIPPLES = 6
"""Termination ripples by which the window reaches beyond the asked range."""
MOST_EXTENSION = 10.0
"""angstrom: the window never reaches farther."""
TAIL = math.sqrt(-2.0 * math.log(RELATIVE_CUT))
"""Half width of a Gaussian in standard deviations."""


def real_space(structure: Structure, settings: Settings) -> Curves:
    """Like srreal's ``PDFCalculator``: crystals, and clusters without the low-Q part."""
    structure = _single(structure, settings)
    dr = settings.rstep
    species = _species(structure)
    f = _amplitudes(structure, settings, torch.zeros(1))[:, 0].to(structure.positions)
    qmax = _qmax(settings)
    transformed = qmax < math.pi / dr
    rip = RIPPLES * 2.0 * math.pi / qmax if transformed else 0.0
    rip, tail = _limited(rip, TAIL * _widest(structure, settings))
    first = max(0, math.ceil((settings.rmin - rip) / dr))
    last = math.ceil((settings.rmax + rip) / dr) - 1
    low = max(0.0, settings.rmin - rip - tail)
    pairs = find_pairs(structure, low, settings.rmax + rip + tail)
    d, variance, weight, share = _terms(structure, settings, pairs, species)
    total = structure.occupancy.sum()
    mean = (f[species] * structure.occupancy).sum() / total
    factor = f[species[pairs.first]] * f[species[pairs.second]] / (total * mean**2)
    width = torch.sqrt(torch.where(variance > 0, variance, torch.ones_like(variance)))
    width = torch.where(variance > 0, width, torch.zeros_like(variance))
    row = torch.zeros(len(d), dtype=torch.int64, device=d.device)
    grid = torch.arange(first, last + 1, dtype=d.dtype, device=d.device) * dr
    peaks = gaussians(d, width, weight * factor / d, row, rows=1, first=first, last=last, step=dr)[0]
    g = peaks
    if structure.lattice is not None:
        g = g - 4.0 * math.pi * total / structure.volume() * share * grid
    n_fft = 2 ** math.ceil(math.log2(last + 1))
    dq = math.pi / (n_fft * dr)
    f_q = dr * _sine_series(g, first, n_fft)
    kept = math.ceil(qmax / dq)
    if transformed or float(settings.qmin) > 0:
        window = f_q.clone()
        window[: math.ceil(float(settings.qmin) / dq)] = 0.0
        window[kept:] = 0.0
        g = (2.0 / math.pi) * dq * _sine_series(window, 0, n_fft)[first : last + 1]
    inside = slice(settings.first - first, settings.last - first + 1)
    r = grid[inside]
    q = torch.arange(kept, dtype=d.dtype, device=d.device) * dq
    envelope = settings.envelope(r)
    return Curves(r, g[inside] * envelope, q, f_q[:kept], rdf=peaks[inside] * r)


def debye(structure: Structure, settings: Settings) -> Curves:
    """Like srreal's ``DebyePDFCalculator``: a finite structure by its equation."""
    structure = _single(structure, settings)
    dr = settings.rstep
    qmax = _qmax(settings)
    if settings.qmax is None:
        raise SettingsError("qmax: Debye's sum needs one")
    reach = min(MOST_EXTENSION, RIPPLES * 2.0 * math.pi / qmax + TAIL * _widest(structure, settings))
    low = max(0.0, math.ceil((settings.rmin - reach) / dr) * dr)
    high = math.ceil((settings.rmax + reach) / dr) * dr
    dq = math.pi / high
    if settings.qstep is not None:
        dq = min(dq, settings.qstep)
    q = torch.arange(math.ceil(qmax / dq), dtype=torch.float64) * dq
    species = _species(structure)
    f = _amplitudes(structure, settings, q).to(structure.positions)
    q = q.to(structure.positions)
    pairs = find_pairs(structure, low, high)
    d, variance, weight, _ = _terms(structure, settings, pairs, species)
    kinds = len(f)
    row = species[pairs.first] * kinds + species[pairs.second]
    sums = sines(d, variance.clamp(min=0.0), weight, row, q, rows=kinds * kinds)
    total = structure.occupancy.sum()
    mean = (f[species] * structure.occupancy[:, None]).sum(dim=0) / total
    f_q = ((f[:, None] * f[None]).reshape(kinds * kinds, -1) * sums).sum(dim=0) / (total * mean**2)
    window = f_q.clone()
    window[: math.ceil(float(settings.qmin) / dq)] = 0.0
    n_fft = 2 ** math.ceil(math.log2(max(len(q), math.ceil(math.pi / (dr * dq)))))
    fine = (2.0 / math.pi) * dq * _sine_series(window, 0, n_fft)
    r = settings.r().to(q)
    place = r / (math.pi / (n_fft * dq))
    below = place.floor().long().clamp(max=n_fft - 2)
    t = place - below
    g = fine[below] * (1.0 - t) + fine[below + 1] * t
    return Curves(r, g * settings.envelope(r), q, f_q)


def _single(structure: Structure, settings: Settings) -> Structure:
    """The structure with the displacement that the settings give it; batches are refused."""
    if structure.batch is not None:
        raise StructureError("structure: sums in real space and the srreal convention take one at a time")
    if batched := settings.batched():
        raise SettingsError(
            f"{next(iter(batched))}: sums in real space and the srreal convention take one number; for several "
            "use the exact convention with a qmax"
        )
    if settings.u_iso is None:
        return structure
    u = torch.as_tensor(settings.u_iso, dtype=structure.u.dtype, device=structure.u.device)
    return replace(structure, u=u.expand(len(structure.species)))


def _species(structure: Structure) -> torch.Tensor:
    """Number of each site's species among the sorted ones: (n,) int64."""
    names = {name: k for k, name in enumerate(sorted(set(structure.species)))}
    return torch.tensor([names[s] for s in structure.species], device=structure.positions.device)


def _amplitudes(structure: Structure, settings: Settings, q: torch.Tensor) -> torch.Tensor:
    lengths = {**SRREAL_LENGTHS, **(settings.lengths or {})}
    names = sorted(set(structure.species))
    return torch.from_numpy(form_factors(names, q.numpy(), settings.radiation, lengths=lengths))


def _qmax(settings: Settings) -> float:
    limit = math.pi / settings.rstep
    return limit if settings.qmax is None else min(float(settings.qmax), limit)


def _widest(structure: Structure, settings: Settings) -> float:
    """Largest standard deviation that a peak may have, angstrom."""
    u = structure.u.detach()
    most = float((u.diagonal(dim1=-2, dim2=-1) if structure.anisotropic else u).max())
    ends = [torch.tensor(v, dtype=torch.float64) for v in (settings.rmin, settings.rmax) if v > 0]
    most_bracket = max(1.0, *(float(torch.as_tensor(settings.bracket(v)).detach()) for v in ends))
    return math.sqrt(2.0 * most * most_bracket)


def _limited(rip: float, tail: float) -> tuple[float, float]:
    factor = min(1.0, MOST_EXTENSION / (rip + tail)) if rip + tail > 0 else 1.0
    return rip * factor, tail * factor


def _terms(
    structure: Structure, settings: Settings, pairs: Pairs, species: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Distances, mean-square widths (may be negative), weights, and the share of pairs that a mask keeps."""
    vectors = vectors_of(structure, pairs)
    d = vectors.norm(dim=-1)
    variance = displacements_of(structure, pairs, vectors) * settings.bracket(d)
    weight = weights_of(structure, pairs)
    share = torch.ones((), dtype=d.dtype, device=d.device)
    if settings.pair is not None:
        mask = _mask(structure, settings.pair).to(d)
        weight = weight * mask[species[pairs.first], species[pairs.second]]
        amounts = torch.zeros(len(mask)).to(d).index_add(0, species, structure.occupancy)
        share = (amounts @ mask @ amounts) / amounts.sum() ** 2
    return d, variance, weight, share


def _mask(structure: Structure, pair: tuple[str, str]) -> torch.Tensor:
    """1 for the kept pair of species, in both orders."""
    names = sorted(set(structure.species))
    for name in pair:
        if name not in names:
            raise SettingsError(f"pair: {name!r} is not in the structure, which holds {', '.join(names)}")
    a, b = (names.index(name) for name in pair)
    mask = torch.zeros(len(names), len(names))
    mask[a, b] = mask[b, a] = 1.0
    return mask


def _sine_series(values: torch.Tensor, first: int, n: int) -> torch.Tensor:
    """sum_j v_j sin(pi j k / n) for k = 0 .. n - 1; the values start at j = ``first``."""
    padded = torch.nn.functional.pad(values, (first, 2 * n - first - len(values)))
    spectrum: torch.Tensor = torch.fft.rfft(padded).imag[..., :n]
    return -spectrum
