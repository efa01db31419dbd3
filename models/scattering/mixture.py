"""Mixtures of structures that do not interfere: powders of several phases, particles of several kinds.

x_p is the share of the *atoms* that phase p holds, <f>_p its mean amplitude and F_p its reduced structure function.
Intensities add, and the sum is normalised by the mean amplitude of the whole sample, as its measurement would be:

    I = sum_p x_p (<f^2>_p + <f>_p^2 (S_p - 1)),
    F = sum_p x_p <f>_p^2 F_p / <f>^2,               <f> = sum_p x_p <f>_p,
    G = sum_p G of that term, each with its own damping and shape.

Shares by mass w_p become x_p ~ w_p / (mean mass of an atom of p). Phases of one composition mix as x_p itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from solvus.models.scattering.composition import Composition, Power, composition_of, scattering_power
from solvus.models.scattering.curves import Curves
from solvus.models.scattering.exact import ROOM, curves_of, table_for
from solvus.models.scattering.resampling import HALF, resampled
from solvus.models.scattering.settings import Number, Settings, SettingsError
from solvus.models.scattering.structure import Structure, StructureError
from solvus.models.scattering.window import transform

By = Literal["atoms", "mass"]
SAMPLE = ("rmin", "rmax", "rstep", "radiation", "lengths")
INSTRUMENT = ("qmin", "qmax")
"""What phases measured together share."""
BEYOND = 7
"""Samples of F beyond Qmax, which the end of its transform is interpolated from."""
SAME = 1e-6
"""Rounding error of a number of steps."""


@dataclass(frozen=True)
class Phases:
    """The curves of each phase alone, from which mixtures of any shares follow; make it with :func:`phases_of`.

    Attributes
    ----------
    curves : one for each phase, F with a few samples beyond Qmax.
    compositions, settings : one for each phase; ``shapes`` : (k,) or (b, k) what multiplies G of each.
    """

    curves: tuple[Curves, ...]
    compositions: tuple[Composition, ...]
    settings: tuple[Settings, ...]
    shapes: tuple[torch.Tensor, ...]


def mixture(
    structures: Sequence[Structure],
    fractions: torch.Tensor | Sequence[float],
    settings: Settings | Sequence[Settings] | None = None,
    *,
    by: By = "atoms",
) -> Curves:
    """Curves of a mixture, in the exact convention.

    Parameters
    ----------
    structures : p phases, finite or periodic.
    fractions : (p,), or (b, p) for b mixtures; not negative; they are divided by their sum. Gradients flow to them.
    settings : for all phases, or one for each: then range, grid and radiation must be the same. (b,) tensors there go
        with (b, p) fractions.
    by : whether fractions are of atoms or of mass.

    Raises
    ------
    SettingsError, StructureError
        For shares, ranges or structures that cannot be; one sentence names the field.
    """
    phases = phases_of(structures, settings)
    return mixed(phases, fractions_of_atoms(phases.compositions, fractions, by=by))


def phases_of(
    structures: Sequence[Structure], settings: Settings | Sequence[Settings] | None = None
) -> Phases:
    """Find the curves of each phase, once."""
    if not structures:
        raise StructureError("structures: a mixture needs at least one")
    if settings is None or isinstance(settings, Settings):
        settings = [settings or Settings()] * len(structures)
    if len(settings) != len(structures):
        raise SettingsError(
            f"settings: {len(settings)} for {len(structures)} structures; give one, or one for each"
        )
    for other in settings[1:]:
        _require_same(settings[0], other)
    curves = [_beyond(*pair) for pair in zip(structures, settings, strict=True)]
    return Phases(
        tuple(curves),
        tuple(composition_of(s) for s in structures),
        tuple(settings),
        tuple(s.envelope(c.r) for s, c in zip(settings, curves, strict=True)),
    )


def _require_same(one: Settings, other: Settings) -> None:
    for name in (*SAMPLE, *INSTRUMENT):
        a, b = getattr(one, name), getattr(other, name)
        tensors = isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor)
        same = torch.equal(torch.as_tensor(a), torch.as_tensor(b)) if tensors else a == b
        if not same:
            raise SettingsError(f"{name}: {a} and {b}; phases are measured together and need the same")


def _beyond(structure: Structure, settings: Settings) -> Curves:
    """Curves with F known far enough beyond Qmax."""
    if settings.qmax is None:
        raise SettingsError("qmax: a mixture needs one")
    highest = float(torch.as_tensor(settings.qmax).detach().max())
    # The transform's steps are pi / (ROOM (rmax + reach)) at most.
    wide = replace(settings, qmax=highest + (BEYOND + HALF + 1) * math.pi / (ROOM * settings.rmax))
    return curves_of(table_for(structure, wide), wide)


def fractions_of_atoms(
    compositions: Sequence[Composition], fractions: torch.Tensor | Sequence[float], *, by: By = "atoms"
) -> torch.Tensor:
    """Shares of atoms, which sum to one, from shares of atoms or mass in any unit: (p,) or (b, p).

    Raises
    ------
    SettingsError
        For a wrong number of shares, negative ones, or none above zero.
    """
    share = fractions if isinstance(fractions, torch.Tensor) else torch.tensor(fractions, dtype=torch.float64)
    if share.ndim not in (1, 2) or share.shape[-1] != len(compositions):
        raise SettingsError(
            f"fractions: {tuple(share.shape)} values for {len(compositions)} structures; give one for each"
        )
    known = share.detach()
    if (
        not bool(torch.isfinite(known).all())
        or bool((known < 0).any())
        or bool((known.sum(dim=-1) <= 0).any())
    ):
        raise SettingsError("fractions: must be numbers that are not negative, and not all zero")
    if by == "mass":
        share = share / torch.stack([c.mean_mass().to(share) for c in compositions], dim=-1)
    elif by != "atoms":
        raise SettingsError(f"by: {by!r} is neither atoms nor mass")
    return share / share.sum(dim=-1, keepdim=True)


def mixed(phases: Phases, shares: torch.Tensor) -> Curves:
    """Curves of a mixture of prepared phases, with F on a grid as fine as the finest of theirs.

    Parameters
    ----------
    shares : (p,) or (b, p), of atoms, summing to one.
    """
    settings, shares = phases.settings[0], shares.to(phases.curves[0].f)
    highest = float(torch.as_tensor(settings.qmax).detach().max())
    # Half steps that share their transform with the grid of G, as fine as the finest of the phases'.
    least = min(float((c.q[..., 1] - c.q[..., 0]).min()) for c in phases.curves)
    dq = math.pi / (math.ceil(math.pi / (least * settings.rstep) - SAME) * settings.rstep)
    q = (torch.arange(math.ceil(highest / dq) + BEYOND).to(phases.curves[0].q) + 0.5) * dq
    f, g = [], []
    for number, curves in enumerate(phases.curves):
        aligned = curves.q.ndim == 1 and len(curves.q) >= len(q) and torch.allclose(curves.q[: len(q)], q)
        alone = curves.f[..., : len(q)] if aligned else resampled(curves, q)
        part = weight_of(phases, shares, number, q) * alone
        limits = (_limit(settings.qmin, part), _limit(settings.qmax, part))
        curve = transform(part, dq, *limits, rstep=settings.rstep, first=settings.first, last=settings.last)
        g.append(curve * phases.shapes[number])
        f.append(part)
    kept = math.floor(highest / dq + 0.5)
    return Curves(phases.curves[0].r, sum(g[1:], start=g[0]), q[:kept], sum(f[1:], start=f[0])[..., :kept])


def weight_of(phases: Phases, shares: torch.Tensor, number: int, q: torch.Tensor) -> torch.Tensor:
    """x_p <f>_p^2 / <f>^2 of one phase at q: (m,) or (b, m)."""
    share = shares[..., number, None]
    if _alike(phases.compositions):
        return share.expand(*share.shape[:-1], len(q))
    settings = phases.settings[0]
    powers = [
        scattering_power(c, q, settings.radiation, lengths=settings.lengths) for c in phases.compositions
    ]
    whole = scattering_power(
        whole_composition(phases.compositions, shares), q, settings.radiation, lengths=settings.lengths
    )
    return share * powers[number].square_mean / whole.square_mean


def _alike(compositions: Sequence[Composition]) -> bool:
    first = compositions[0]
    return all(
        c.species == first.species and not c.share.requires_grad and torch.equal(c.share, first.share)
        for c in compositions
    )


def whole_composition(compositions: Sequence[Composition], shares: torch.Tensor) -> Composition:
    """Of a sample whose atoms its phases share as stated, (p,) or (b, p)."""
    names = tuple(sorted({name for c in compositions for name in c.species}))
    columns = []
    for name in names:
        parts = [
            shares[..., p] * c.share[..., c.species.index(name)]
            for p, c in enumerate(compositions)
            if name in c.species
        ]
        columns.append(sum(parts[1:], start=parts[0]))
    return Composition(names, torch.stack(columns, dim=-1))


def mixed_intensity(phases: Phases, shares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Q and the coherent intensity per atom, <f^2> + <f>^2 (S - 1), of a mixture: (m,), and (m,) or (b, m)."""
    curves, settings = mixed(phases, shares), phases.settings[0]
    power: Power = scattering_power(
        whole_composition(phases.compositions, shares), curves.q, settings.radiation, lengths=settings.lengths
    )
    return curves.q, power.mean_square + power.square_mean * (curves.s() - 1.0)


def _limit(value: Number | None, like: torch.Tensor) -> torch.Tensor:
    limit = torch.as_tensor(value, device=like.device).to(like.dtype)
    return limit
