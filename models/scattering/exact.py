"""The exact convention: Q-dependent weights for each pair of elements, and no window, grid or termination artefacts.

Notation: species a, b with amplitudes f_a(Q), N the sum of occupancies, <f> = sum f occ / N, d a distance,
s^2 = (u_i + u_j) max(0, 1 - delta1/d - delta2/d^2 + (qbroad d)^2) the mean-square width of its peak.

    F_ab(Q) = 1/N sum_{ij in ab} exp(-s_ij^2 Q^2 / 2) sin(Q d_ij) / d_ij   [- transform of 4 pi rho0 c_a c_b r]
    F(Q)    = sum_ab f_a f_b / <f>^2 F_ab(Q)
    G(r)    = 2/pi integral_{Qmin}^{Qmax} F(Q) sin(Q r) dQ  times scale, damping and shape

with the bracket for crystals only. A width that depends on d is taken out of the sum by Chebyshev polynomials T_m:
exp(-s^2 Q^2 / 2) = sum_m c_m(Q) T_m(s^2), so that every term is one fast Fourier transform of the pair table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from scipy.fft import next_fast_len

from solvus.models.scattering.curves import Curves
from solvus.models.scattering.form_factors import Radiation, amplitude_terms, form_factors
from solvus.models.scattering.pair_table import (
    PairTable,
    largest_distance,
    pair_table,
    species_numbers,
    spread_rows,
)
from solvus.models.scattering.pairs import Pairs, displacements_of, vectors_of, weights_of
from solvus.models.scattering.settings import Number, Settings, SettingsError
from solvus.models.scattering.sine_transforms import to_half_steps
from solvus.models.scattering.spreading import POINTS as READ
from solvus.models.scattering.spreading import interpolated
from solvus.models.scattering.srreal import real_space
from solvus.models.scattering.structure import Structure, StructureError
from solvus.models.scattering.window import HALF, transform

PHASE = 0.5
"""Qmax times the grid step: the eight-point stencil is then right to 4e-6 before damping."""
ROOM = 2.2
"""Length of the transforms over rmax plus the largest distance: their Q grid then resolves every sine."""
PRECISION = 1e-9
"""Of the Chebyshev expansion of a peak's width."""
CHUNK = 8_000_000
"""Numbers in the arrays of one pass over a batch: 64 MB each."""


def exact_curves(structure: Structure, settings: Settings) -> Curves:
    """Curves of a structure: see :func:`solvus.models.scattering.calculate.calculate`."""
    if settings.qmax is None:
        return real_space(structure, settings)  # a plain sum of Gaussians has no window to differ by
    size = structure.batch or 1
    part = max(1, CHUNK // _numbers(structure, settings))
    if part >= size:
        return curves_of(table_for(structure, settings), settings)
    _one_size(structure, settings)
    limits = _Limits.of(settings)
    reach = None if structure.lattice is not None else largest_distance(structure)
    done = [
        _pass(
            table_for(structure.part(k, k + part), settings, reach=reach),
            settings.part(k, k + part),
            limits,
        )
        for k in range(0, size, part)
    ]
    return _put_together(done)


def _numbers(structure: Structure, settings: Settings) -> int:
    """About how many numbers one structure of a batch needs at once: the stencils of its pairs."""
    n = len(structure.species)
    pairs = 0.5 * n**2
    if structure.lattice is not None:
        reach = settings.rmax / _least(settings.expansion) + settings.extension
        pairs *= 4.0 / 3.0 * math.pi * reach**3 / float(structure.volume().detach().min())
    return max(1, round(READ * pairs))


def table_for(structure: Structure, settings: Settings, *, reach: float | None = None) -> PairTable:
    """The distances of a structure, for any settings of the same or smaller rmax, Qmax and range of expansion.

    Make it once for many conditions of one structure; :func:`curves_of` does the rest. ``reach`` : see
    :func:`solvus.models.scattering.pair_table.pair_table`.
    """
    return pair_table(
        structure,
        step=_grid_step(settings),
        rmax=settings.rmax / _least(settings.expansion),
        extension=settings.extension,
        one_u=settings.u_iso is not None,
        reach=reach,
    )


def _grid_step(settings: Settings) -> float:
    """A multiple or a whole part of rstep, so that both grids share their transform."""
    target = PHASE / (_most(settings.qmax) * _most(settings.expansion))
    if target >= settings.rstep:
        return settings.rstep * math.floor(target / settings.rstep * (1 + 1e-9))
    return settings.rstep / math.ceil(settings.rstep / target)


def _most(value: Number | None) -> float:
    if value is None:
        raise SettingsError("qmax: the exact convention needs one")
    return float(value.detach().max()) if isinstance(value, torch.Tensor) else value


def _least(value: Number) -> float:
    return float(value.detach().min()) if isinstance(value, torch.Tensor) else value


def curves_of(table: PairTable, settings: Settings) -> Curves:
    """Curves under one set of conditions, or under b when settings are (b,) or the table holds b structures.

    Raises
    ------
    SettingsError
        For several expansions of a table whose pairs are kept one by one.
    """
    size = _one_size(table.structure, settings)
    limits = _Limits.of(settings)
    if size is None:
        return _pass(table, settings, limits)
    part = max(1, CHUNK // (8 * table.nodes * len(table.pair)))
    if part >= size or table.structure.batch is not None:
        return _pass(table, settings, limits)
    return _put_together([_pass(table, settings.part(k, k + part), limits) for k in range(0, size, part)])


def _one_size(structure: Structure, settings: Settings) -> int | None:
    """The b of settings and structure, ``None`` for one curve."""
    sizes = {len(v) for v in settings.batched().values()}
    if structure.batch is not None:
        sizes.add(structure.batch)
    if len(sizes) > 1:
        raise SettingsError(f"settings: batches of {sorted(sizes)} do not go together; use one size")
    return sizes.pop() if sizes else None


def _put_together(done: Sequence[Curves]) -> Curves:
    q = done[0].q if done[0].q.ndim == 1 else _joined([c.q for c in done])
    return replace(done[0], q=q, g=_joined([c.g for c in done]), f=_joined([c.f for c in done]))


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return parts[0] if parts[0].ndim == 1 else torch.cat(list(parts))


@dataclass(frozen=True)
class _Limits:
    """What the grids of all conditions share: the highest Q, and the highest in terms of the structure before its
    expansion, 1/angstrom; the largest r in these terms, angstrom."""

    q: float
    q_before: float
    r_before: float

    @classmethod
    def of(cls, settings: Settings) -> _Limits:
        q = _most(settings.qmax)
        return cls(q, q * _most(settings.expansion), settings.rmax / _least(settings.expansion))


def _pass(table: PairTable, settings: Settings, limits: _Limits) -> Curves:
    """Curves of one chunk. An expansion e is exact by similarity: with q = Q e and rho = r / e every phase Q r e is
    that of the structure as it is in the table, so the grid is one of q, and G is read from one of rho."""
    like = table.structure.positions
    length = ROOM * (limits.r_before + table.reach)
    coarse = max(table.step, settings.rstep)
    n = round(next_fast_len(math.ceil(length / coarse), real=True) * coarse / table.step)
    dq = math.pi / (n * table.step)
    count = min(n, math.ceil(limits.q_before / dq) + HALF + 1)
    q = _q_grid(count, dq).to(like)
    r = settings.r().to(like)
    qmin, qmax = settings.qmin, _number(settings.qmax)
    if isinstance(settings.expansion, float) and settings.expansion == 1.0:
        f = reduced_structure_function(table, settings, q, n)
        g = transform(f, dq, qmin, qmax, rstep=settings.rstep, first=settings.first, last=settings.last)
        kept = math.floor(limits.q / dq + 0.5)
        return Curves(r, g * settings.envelope(r), q[:kept].clone(), f[..., :kept])
    e = _setting(settings.expansion, like, 0)
    f = reduced_structure_function(table, settings, q, n, e)
    last = math.ceil(limits.r_before / table.step) + READ
    before = transform(f, dq, qmin * e, qmax * e, rstep=table.step, first=0, last=last)
    g = interpolated(before, r / (e[..., None] * table.step)) / e[..., None]
    kept = math.floor(limits.q_before / dq + 0.5)
    return Curves(r, g * settings.envelope(r), (q / e[..., None])[..., :kept], f[..., :kept])


@lru_cache(maxsize=64)
def _q_grid(count: int, dq: float) -> torch.Tensor:
    return (torch.arange(count, dtype=torch.float64) + 0.5) * dq


def _number(value: Number | None) -> Number:
    if value is None:
        raise SettingsError("qmax: the exact convention needs one")
    return value


def reduced_structure_function(
    table: PairTable, settings: Settings, q: torch.Tensor, n: int, expansion: torch.Tensor | None = None
) -> torch.Tensor:
    """F at Q = q, or at q / expansion where it is given: (m,) or (b, m).

    Parameters
    ----------
    q : (m,), (j + 1/2) pi / (n step) for j = 0, 1, ...; expansion : a number or (b,).
    """
    actual = q if expansion is None else q / expansion[..., None]
    amplitude = _amplitudes(table, settings, actual)
    if table.weights is not None:
        spectrum = _by_channels(table, table.weights, settings, actual, n, expansion)
    elif expansion is None:
        spectrum = _by_pairs(table, *table.one_by_one(), settings, q, n)
    else:
        raise SettingsError(
            "expansion: only one value at a time where displacements are anisotropic or of many kinds"
        )
    if table.structure.lattice is not None:
        spectrum = spectrum - _background(table, n, len(q))
    if expansion is not None:
        spectrum = spectrum / expansion[..., None, None]
    return (amplitude * spectrum).sum(dim=-2)


def _spectrum(values: torch.Tensor, n: int, count: int) -> torch.Tensor:
    """sum_k v_k sin(Q d_k) at the first ``count`` Q."""
    return to_half_steps(values, n, count)


def _by_channels(
    table: PairTable,
    weights: torch.Tensor,
    settings: Settings,
    q: torch.Tensor,
    n: int,
    expansion: torch.Tensor | None,
) -> torch.Tensor:
    d, scale = _nodes(table)
    density = weights * scale
    q2 = q.square()[..., None, :]  # (1, m) or (b, 1, m)
    count = q.shape[-1]
    if table.displacement is None:
        if settings.u_iso is None:
            raise SettingsError("u_iso: this table was made for displacements that come with the settings")
        v = 2.0 * _setting(settings.u_iso, d, 1).expand(*_leading(settings.u_iso), len(table.pair))
    else:
        v = table.displacement
    if not any(_given(value) for value in (settings.delta1, settings.delta2, settings.qbroad)):
        return _spectrum(density, n, count) * torch.exp(-0.5 * v[..., None] * q2)
    d = d.clamp(min=table.step)
    bracket = _bracket(settings, d if expansion is None else d * expansion[..., None, None], 2)
    used = (weights.detach() != 0).reshape(-1, table.nodes).any(dim=0)
    low, high = _span(bracket.detach()[..., used])
    widest = float(v.detach().max())
    spacing = 2.0 * float(q[..., 0].detach().max())
    terms = len(_coefficients(widest * low, widest * high, count, spacing))
    coefficients = _channel_coefficients(v, low, high, q2, terms)
    polynomials = _polynomials(bracket.clamp(low, high), low, high, terms)
    total = _spectrum(density * polynomials[0], n, count) * coefficients[..., 0, :]
    for m in range(1, terms):
        total = total + _spectrum(density * polynomials[m], n, count) * coefficients[..., m, :]
    return total


def _by_pairs(
    table: PairTable, pairs: Pairs, row: torch.Tensor, settings: Settings, q: torch.Tensor, n: int
) -> torch.Tensor:
    """The same with each pair's own width: one spreading for each polynomial."""
    vectors = vectors_of(table.structure, pairs)
    d = vectors.norm(dim=-1)
    u = displacements_of(table.structure, pairs, vectors)
    if settings.u_iso is not None:
        u = 2.0 * _setting(settings.u_iso, d, 1).expand(*_leading(settings.u_iso), d.shape[-1])
    variance = u * _bracket(settings, d, 1)
    weight = weights_of(table.structure, pairs)
    low, high = _span(variance.detach())
    coefficients = _coefficients(low, high, len(q), 2.0 * float(q[0])).to(q)
    polynomials = _polynomials(variance, low, high, len(coefficients))
    _, scale = _nodes(table)
    terms = [
        _spectrum(spread_rows(table, d, weight * t, row) * scale, n, len(q)) * c
        for c, t in zip(coefficients, polynomials, strict=True)
    ]
    return torch.stack(terms).sum(dim=0)


def _nodes(table: PairTable) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances d of the nodes, and the taper there over d: (nodes,) each."""
    taper = (table.taper, table.reach) if math.isfinite(table.taper) else None
    d, scale = _grid(table.nodes, table.step, taper)
    like = table.structure.positions
    return d.to(like), scale.to(like)


@lru_cache(maxsize=64)
def _grid(nodes: int, step: float, taper: tuple[float, float] | None) -> tuple[torch.Tensor, torch.Tensor]:
    """d, and 1 / d up to the taper's beginning, then falling to 0 at its end without a corner; 1 at d = 0."""
    d = torch.arange(nodes, dtype=torch.float64) * step
    scale = 1.0 / torch.where(d > 0, d, 1.0)
    if taper is not None:
        x = ((d - taper[0]) / (taper[1] - taper[0])).clamp(0.0, 1.0)
        scale = scale * torch.cos(0.5 * math.pi * x) ** 2
    return d, scale


def _setting(value: Number, like: torch.Tensor, dimensions: int) -> torch.Tensor:
    """A scalar, or (b, 1, ...) with as many trailing ones."""
    tensor = torch.as_tensor(value, device=like.device).to(like.dtype)
    return tensor.reshape(-1, *[1] * dimensions) if tensor.ndim else tensor


def _leading(value: Number) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else ()


def _given(value: Number) -> bool:
    return value.requires_grad or bool((value != 0).any()) if isinstance(value, torch.Tensor) else value != 0


def _bracket(settings: Settings, d: torch.Tensor, dimensions: int) -> torch.Tensor:
    """Peak width at distance d over that of independent atoms, not below zero."""
    delta1, delta2, qbroad = (
        _setting(v, d, dimensions) for v in (settings.delta1, settings.delta2, settings.qbroad)
    )
    return torch.clamp(1.0 - delta1 / d - delta2 / d**2 + (qbroad * d) ** 2, min=0.0)


def _span(values: torch.Tensor) -> tuple[float, float]:
    """Smallest and largest value, apart enough to divide by their difference."""
    low, high = (float(v) for v in torch.aminmax(values)) if values.numel() else (0.0, 0.0)
    margin = 1e-3 * high + 1e-9
    return max(0.0, low - margin), high + margin


def _background(table: PairTable, n: int, count: int) -> torch.Tensor:
    """Transform of 4 pi rho0 c_a c_b r, tapered: (c, count) or (b, c, count)."""
    if table.amounts is None:
        raise StructureError("lattice: this table is of a finite structure")
    d, scale = _nodes(table)
    ramp = _spectrum(4.0 * math.pi * table.step * d.square() * scale, n, count)
    return (table.amounts / table.structure.volume()[..., None])[..., None] * ramp


def _amplitudes(table: PairTable, settings: Settings, q: torch.Tensor) -> torch.Tensor:
    """f_a f_b / (N <f>^2) of each channel at Q (m,) or (b, m): (c, m) or (b, c, m); zero for masked pairs."""
    if len(table.species) == 1 and settings.pair is None:
        total = table.structure.occupancy.sum(dim=-1)[..., None, None]  # f cancels
        return torch.ones(len(table.pair), 1).to(q) / total
    f = _form_factors(table.species, settings, q)
    occupancy = table.structure.occupancy
    _, number = species_numbers(table.structure)
    amounts = torch.zeros(*occupancy.shape[:-1], len(table.species)).to(q).index_add(-1, number, occupancy)
    total = amounts.sum(dim=-1)
    mean = (amounts[..., None, :] @ f).squeeze(-2) / total[..., None]
    a, b = table.pair.unbind(1)
    result = f[..., a, :] * f[..., b, :] / (total[..., None] * mean**2)[..., None, :]
    if settings.pair is None:
        return result
    first, second = (_number_of(name, table.species) for name in settings.pair)
    kept = ((a == first) & (b == second)) | ((a == second) & (b == first))
    return result * kept[:, None]


def _number_of(name: str, species: tuple[str, ...]) -> int:
    if name not in species:
        raise SettingsError(f"pair: {name!r} is not in the structure, which holds {', '.join(species)}")
    return species.index(name)


def _form_factors(species: tuple[str, ...], settings: Settings, q: torch.Tensor) -> torch.Tensor:
    """f of each species at Q (m,) or (b, m): (species, m) or (b, species, m)."""
    lengths = tuple(sorted((settings.lengths or {}).items()))
    if q.ndim == 1:
        return _on_grid(species, settings.radiation, lengths, len(q), 2.0 * float(q[0])).to(q)
    heights, widths = amplitude_terms(species, settings.radiation, lengths=dict(lengths))
    squared = (q / (4.0 * math.pi)).square()[:, None, :]
    a, b = (torch.from_numpy(v).to(q) for v in (heights, widths))
    f: torch.Tensor = sum(  # type: ignore[assignment]
        a[:, k, None] * torch.exp(-b[:, k, None] * squared) for k in range(a.shape[1])
    )
    return f


@lru_cache(maxsize=64)
def _on_grid(
    species: tuple[str, ...],
    radiation: Radiation,
    lengths: tuple[tuple[str, float], ...],
    count: int,
    dq: float,
) -> torch.Tensor:
    q = (np.arange(count) + 0.5) * dq
    return torch.from_numpy(form_factors(species, q, radiation, lengths=dict(lengths)))


def _polynomials(x: torch.Tensor, low: float, high: float, count: int) -> list[torch.Tensor]:
    """Chebyshev's T_0, T_1, ... of x scaled from [low, high] to [-1, 1]."""
    scaled = (2.0 * x - (low + high)) / (high - low)
    polynomials = [torch.ones_like(scaled), scaled]
    while len(polynomials) < count:
        polynomials.append(2.0 * scaled * polynomials[-1] - polynomials[-2])
    return polynomials


def _channel_coefficients(
    v: torch.Tensor, low: float, high: float, q2: torch.Tensor, count: int
) -> torch.Tensor:
    """exp(-v x Q^2 / 2) = sum_m c_m(Q) T_m(x) over [low, high] for each channel's v (..., c) and Q^2 (..., 1, m):
    (..., c, count, m)."""
    size = count + 4  # a few samples more than terms, against aliasing
    angle = (torch.arange(size, dtype=q2.dtype, device=q2.device) + 0.5) * (math.pi / size)
    x = 0.5 * (high + low) + 0.5 * (high - low) * torch.cos(angle)
    samples = torch.exp(-0.5 * v[..., None, None] * x[:, None] * q2[..., None, :])
    order = torch.arange(count, dtype=q2.dtype, device=q2.device)[:, None]
    transform_matrix = (2.0 / size) * torch.cos(order * angle)
    transform_matrix[0] *= 0.5
    return transform_matrix @ samples


@lru_cache(maxsize=64)
def _coefficients(low: float, high: float, count: int, dq: float) -> torch.Tensor:
    """exp(-x Q^2 / 2) = sum_m c_m(Q) T_m(x) over [low, high], as many terms as it takes: (terms, count)."""
    q2 = ((np.arange(count) + 0.5) * dq) ** 2
    size = 40
    angle = (np.arange(size) + 0.5) * math.pi / size
    samples = np.exp(-0.5 * np.outer(0.5 * (high + low) + 0.5 * (high - low) * np.cos(angle), q2))
    table = 2.0 / size * np.cos(np.outer(np.arange(size), angle)) @ samples
    table[0] *= 0.5
    terms = max(2, int(np.flatnonzero(np.abs(table).max(axis=1) > PRECISION)[-1]) + 1)
    return torch.from_numpy(table[:terms])
