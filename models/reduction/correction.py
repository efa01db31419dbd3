"""From intensity to F(Q): normalisation and the ad-hoc polynomial correction.

With I the intensity less background and f the scattering amplitudes of the composition,

    S_m(Q) = (a I - <f^2> + <f>^2) / <f>^2,           F_m(Q) = Q (S_m - 1),
    F(Q)   = F_m(Q) - Q P_{n-1}(Q),

where a brings S_m nearest 1 in the least-squares sense and Q P_{n-1}, a polynomial of degree n without
constant term, is
fitted to F_m over the whole range. What incoherent and multiple scattering, absorption and an imperfect background add
varies slowly with Q, and the polynomial takes it out; n = rpoly Qmaxinst / pi, so that only r < rpoly is
touched, where no
atoms are. For a fractional n the corrections of the two whole degrees around it are averaged in proportion.

P. Juhas, T. Davis, C. L. Farrow, S. J. L. Billinge, J. Appl. Cryst. 46, 560 (2013).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solvus.models.reduction.settings import ReductionError
from solvus.models.scattering.form_factors import Radiation, form_factors

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Amplitudes:
    """<f^2> and <f>^2 of a composition at the points of Q, both (m,)."""

    mean_square: Floats
    square_mean: Floats

    @classmethod
    def of(cls, composition: dict[str, float], q: Floats, radiation: Radiation) -> Amplitudes:
        """Raises ReductionError when the mean amplitude vanishes, as in a neutron null alloy."""
        shares = np.array(list(composition.values()))
        f = form_factors(list(composition), q, radiation)
        mean = shares @ f
        if float(np.abs(mean).min()) < 1e-6 * float(np.abs(f).max()):
            raise ReductionError("composition: its mean scattering amplitude is zero, so S(Q) is not defined")
        return cls(shares @ f**2, mean**2)


@dataclass(frozen=True)
class Polynomial:
    """The correction as a linear map: fitted values = basis @ (fit @ F_m)."""

    basis: Floats
    fit: Floats

    @classmethod
    def of(cls, q: Floats, degree: float) -> Polynomial:
        """The correction of a whole or fractional degree, at least one.

        Both whole degrees are held side by side, each in its share.
        """
        low = max(1, math.floor(degree))
        share = min(max(degree - low, 0.0), 1.0)
        parts = [(low, 1.0 - share), (low + 1, share)]
        x = q / q[-1]
        bases, fits = [], []
        for n, weight in parts:
            if weight == 0.0:
                continue
            # Legendre polynomials times x: the same space as powers 1 .. n, but well conditioned.
            basis = x[:, None] * np.polynomial.legendre.legvander(2.0 * x - 1.0, n - 1)
            bases.append(weight * basis)
            fits.append(np.linalg.pinv(basis))
        return cls(np.hstack(bases), np.vstack(fits))

    def take_out(self, f: Floats) -> Floats:
        """``f`` less its fit: (..., m) along the last axis."""
        corrected: Floats = f - (f @ self.fit.T) @ self.basis.T
        return corrected

    def rows(self, matrix: Floats) -> Floats:
        """``matrix @ (1 - basis fit)``, for the propagation of uncertainties."""
        propagated: Floats = matrix - (matrix @ self.basis) @ self.fit
        return propagated


def normalised(q: Floats, intensity: Floats, amplitudes: Amplitudes) -> tuple[Floats, Floats]:
    """F_m and the factor dF/dI at each point, both (m,).

    Raises
    ------
    ReductionError
        When the intensity is not positive on the whole.
    """
    relative = intensity / amplitudes.square_mean
    # S_m - 1 = a relative - <f^2>/<f>^2, so a solves a linear least-squares problem.
    incoherent = amplitudes.mean_square / amplitudes.square_mean
    a = float(relative @ incoherent) / float(relative @ relative)
    if not a > 0:
        raise ReductionError("background: it exceeds the sample's intensity; lower its scale")
    return q * (a * relative - incoherent), q * a / amplitudes.square_mean
