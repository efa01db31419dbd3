"""Errors of F(Q) as independent standard variables times known shapes: drawn in bulk, and carried to G(r) exactly.

    dF = P (sigma_k eps_k + sum_j shape_j(Q) z_j),    dG(r) = sum_k w_k sin(Q_k r) dF_k,    Cov(G) = A A^T,

where eps are counting errors of unit variance, z standard normal variables, P takes out a polynomial correction and
A has a column for each variable. Leading dimension b: one row for each of b measurements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

MODES = 4
"""Distances, from 0 to the largest, that a slow error is made of: enough for a random curve, few enough for speed."""


@dataclass(frozen=True)
class Errors:
    """The errors of one measurement of F, or of b.

    Attributes
    ----------
    q : (m,) bins, 1/angstrom; ``window`` : (m,) or (b, m), 2/pi times the part of each bin that is transformed.
    counts : (m,) or (b, m), expected; ``per_count`` : dF for one count; ``blank`` : the same two of the background
        measurement.
    slow : (s, m) shapes of slow errors; ``drift``, ``normalisation`` : (m,) or (b, m) what multiplies each.
    basis : (m, n) or (b, m, n) and weights (n,) or (b, n) of the polynomial correction.
    """

    q: torch.Tensor
    window: torch.Tensor
    counts: torch.Tensor
    per_count: torch.Tensor
    blank: tuple[torch.Tensor, torch.Tensor] | None
    slow: torch.Tensor
    drift: torch.Tensor | None
    normalisation: torch.Tensor | None
    basis: tuple[torch.Tensor, torch.Tensor] | None

    def counting(self) -> torch.Tensor:
        """Standard deviation of F from counting alone, before the correction: (m,) or (b, m)."""
        variance = self.counts * self.per_count**2
        if self.blank is not None:
            variance = variance + self.blank[0] * self.blank[1] ** 2
        return variance.sqrt()

    def draw_f(self, generator: torch.Generator) -> torch.Tensor:
        """Errors of F, one draw for each measurement: (m,) or (b, m)."""
        leading = self._leading()
        counts = self.counts.expand(*leading, -1)
        delta = (torch.poisson(counts, generator=generator) - counts) * self.per_count
        if self.blank is not None:
            blank = self.blank[0].expand(*leading, -1)
            delta = delta - (torch.poisson(blank, generator=generator) - blank) * self.blank[1]
        for scale in (self.drift, self.normalisation):
            if scale is not None:
                z = torch.randn(*leading, len(self.slow), generator=generator, dtype=self.q.dtype)
                delta = delta + scale * (z @ self.slow)
        return self._corrected(delta)

    def to_g(self, delta: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        """dG(r) of errors of F: (k,) or (b, k), as one matrix product."""
        waves = torch.sin(torch.outer(self.q, r.to(self.q)))
        return (delta * self.window) @ waves

    def draw_g(self, r: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Errors of G at r: (k,) or (b, k)."""
        return self.to_g(self.draw_f(generator), r)

    def covariance(self, r: torch.Tensor) -> torch.Tensor:
        """Of G at r: (k, k) or (b, k, k), 1/angstrom^4."""
        return self._stacked([columns @ columns.T for columns in self._columns(r)])

    def deviation(self, r: torch.Tensor) -> torch.Tensor:
        """Standard deviation of G at r: (k,) or (b, k), 1/angstrom^2."""
        return self._stacked([columns.norm(dim=1) for columns in self._columns(r)])

    def deviation_f(self) -> torch.Tensor:
        """Standard deviation of F in the bins: (m,) or (b, m), 1/angstrom."""
        parts = [self._factor(one).norm(dim=0) for one in self._singly()]
        return self._stacked(parts)

    def _leading(self) -> tuple[int, ...]:
        return max(tuple(t.shape[:-1]) for t in (self.window, self.counts, self.per_count))

    def _corrected(self, delta: torch.Tensor) -> torch.Tensor:
        """``delta`` (..., m) less its polynomial."""
        if self.basis is None:
            return delta
        basis, weight = self.basis
        amounts = weight * torch.einsum("...m,...mn->...n", delta, basis)
        return delta - torch.einsum("...n,...mn->...m", amounts, basis)

    def _stacked(self, parts: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(parts) if self._leading() else parts[0]

    def _singly(self) -> Iterator[Errors]:
        """Each of the b by itself, so that memory does not grow with b."""
        leading = self._leading()
        if not leading:
            yield self
            return
        for k in range(leading[0]):
            yield Errors(
                q=self.q,
                window=_row(self.window, k, 1),
                counts=_row(self.counts, k, 1),
                per_count=_row(self.per_count, k, 1),
                blank=None if self.blank is None else (_row(self.blank[0], k, 1), _row(self.blank[1], k, 1)),
                slow=self.slow,
                drift=None if self.drift is None else _row(self.drift, k, 1),
                normalisation=None if self.normalisation is None else _row(self.normalisation, k, 1),
                basis=None if self.basis is None else (_row(self.basis[0], k, 2), _row(self.basis[1], k, 1)),
            )

    def _factor(self, one: Errors) -> torch.Tensor:
        """Row for each independent variable: what one standard deviation of it does to F, (variables, m)."""
        rows = [torch.diag(one.counting())]
        rows += [scale * one.slow for scale in (one.drift, one.normalisation) if scale is not None]
        return one._corrected(torch.cat(rows))

    def _columns(self, r: torch.Tensor) -> Iterator[torch.Tensor]:
        """A of each measurement: (k, variables)."""
        waves = torch.sin(torch.outer(self.q, r.to(self.q)))
        for one in self._singly():
            yield waves.T @ (self._factor(one) * one.window).T


def _row(value: torch.Tensor, k: int, plain: int) -> torch.Tensor:
    return value[k] if value.ndim > plain else value


def slow_modes(q: torch.Tensor, reach: float) -> torch.Tensor:
    """cos(Q r_j) and sin(Q r_j) for distances r_j = 0 ... reach, scaled so that standard normal amounts of them make a
    stationary error of unit variance: (2 MODES - 1, m)."""
    phase = torch.outer(torch.linspace(0.0, reach, MODES, dtype=q.dtype, device=q.device), q)
    return torch.cat([torch.cos(phase), torch.sin(phase[1:])]) / math.sqrt(MODES)


def correction_basis(
    q: torch.Tensor, window: torch.Tensor, rpoly: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Orthonormal columns Q times polynomials over the bins in use, and how much of each is taken out.

    The degree rpoly Qmax / pi is a fraction: columns up to its whole part count in full and the next by the rest, which
    is the mean of the two whole degrees in proportion.

    Returns
    -------
    (m, n) and (n,), or (b, m, n) and (b, n).
    """
    inside = (window > 0).to(q)
    last = (q * inside).amax(dim=-1, keepdim=True)
    degree = (rpoly * last / math.pi).clamp(min=1.0)
    columns = math.floor(float(degree.max())) + 1
    x = q / last
    # Legendre polynomials times x: the same space as powers 1 .. n, but well conditioned.
    t = 2.0 * x - 1.0
    terms = [torch.ones_like(t), t]
    for n in range(1, columns - 1):
        terms.append(((2 * n + 1) * t * terms[n] - n * terms[n - 1]) / (n + 1))
    basis = torch.stack(terms[:columns], dim=-1) * (x * inside)[..., None]
    basis = basis / basis.norm(dim=-2, keepdim=True)
    triangle = torch.linalg.cholesky(basis.transpose(-1, -2) @ basis)
    basis = torch.linalg.solve_triangular(triangle.transpose(-1, -2), basis, upper=True, left=False)
    weight = (degree - torch.arange(columns, dtype=q.dtype, device=q.device)).clamp(0.0, 1.0)
    return basis, weight
