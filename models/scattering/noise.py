"""Realistic errors of a simulated measurement, with their correlations, from counts in I(Q) to G(r).

Counts are collected in bins of Q of width h. With I0 = <f^2> + C the intensity of the sample without structure, B the
background and kappa the dose, bin k holds Poisson-distributed

    N_k = kappa (Q_k / Q_ref)^growth (I0 + <f>^2 (S - 1) + B)        counts.

Subtracting a measured background and I0 and dividing by <f>^2 gives F = Q (S - 1). On the way two slow errors come in:
a part of the background stays, d(Q) I0(Q_ref), and the sample's intensity is wrong by a factor 1 + e(Q); d and e are
Gaussian processes that hold no distance beyond ``slow``. To first order, and exactly in the counts, the error of F is

    dF = Q / <f>^2 (dN / (kappa g) + d I0(Q_ref)) + Q e (S - 1 + <f^2> / <f>^2),

less what a polynomial correction (PDFgetX3's, see :mod:`solvus.models.reduction.correction`) takes out of it. G is
dG(r) = sum_k w_k sin(Q_k r) dF_k with w_k = 2/pi times the part of bin k between Qmin and Qmax. Everything is linear
in independent standard variables, so the covariance of G is known exactly. Qdamp does not damp these errors: it belongs
to the sample's rings, not to the counts. Q in 1/angstrom, r in angstrom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field

from solvus.models.scattering.composition import Composition, Power, scattering_power
from solvus.models.scattering.curves import Curves
from solvus.models.scattering.error_propagation import Errors, correction_basis, slow_modes
from solvus.models.scattering.resampling import bin_means, roughly
from solvus.models.scattering.settings import Settings, SettingsError


class NoiseModel(BaseModel):
    """How a simulated measurement errs.

    Attributes
    ----------
    counts : in the bin at Q = ``reference``, sample with background.
    reference : 1/angstrom.
    step : width h of a bin, 1/angstrom.
    growth : power of Q by which the counts of a bin grow at equal intensity: 1 for an area detector, whose rings grow
        longer; 0 for a scan with a fixed time per step.
    background : its intensity, flat in Q, as a share of the sample's I0 at ``reference``.
    background_time : counting time of the background measurement over the sample's; 0 for a background known exactly.
    drift : standard deviation of the background left in, as a share of I0 at ``reference``.
    normalisation : standard deviation of the relative error of the sample's intensity.
    slow : angstrom; drift and normalisation errors hold no larger distance.
    rpoly : angstrom; the polynomial correction of the reduction, whose degree is rpoly Qmax / pi; 0 for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    counts: float = Field(default=1e6, gt=0.0, le=1e15)
    reference: float = Field(default=10.0, gt=0.0, le=50.0)
    step: float = Field(default=0.02, gt=0.0, le=0.2)
    growth: float = Field(default=1.0, ge=0.0, le=3.0)
    background: float = Field(default=0.5, ge=0.0, le=1000.0)
    background_time: float = Field(default=1.0, ge=0.0, le=1000.0)
    drift: float = Field(default=0.0, ge=0.0, le=10.0)
    normalisation: float = Field(default=0.0, ge=0.0, le=1.0)
    slow: float = Field(default=0.6, gt=0.0, le=5.0)
    rpoly: float = Field(default=0.9, ge=0.0, le=5.0)

    def at_relative_error(
        self, error: float, q: float, composition: Composition, settings: Settings | None = None
    ) -> Self:
        """The same model with the counts at which the sample's intensity, less background, has the relative
        ``error`` at ``q``.

        Raises
        ------
        SettingsError
            For an error that is not positive.
        """
        if not error > 0:
            raise SettingsError(f"error: a relative error must be positive, not {error}")
        usual = settings or Settings()
        grid = torch.tensor([q, self.reference], dtype=torch.float64)
        power = scattering_power(composition, grid, usual.radiation, lengths=usual.lengths)
        here, there = (float(v) for v in power.smooth().detach())
        background = self.background * there
        variance = here + background + (background / self.background_time if self.background_time else 0.0)
        dose = variance / ((q / self.reference) ** self.growth * (error * here) ** 2)
        return self.model_copy(update={"counts": dose * (there + background)})


@dataclass(frozen=True)
class Measured:
    """A simulated measurement: G with its errors on the asked grid, F on the bins.

    Attributes
    ----------
    curves : noisy G; ``q`` are the bins and ``f`` the noisy F there, zero outside Qmin and Qmax.
    errors : what the errors were drawn from, with standard deviations and covariances.
    """

    curves: Curves
    errors: Errors


def measured(
    curves: Curves,
    composition: Composition,
    settings: Settings,
    model: NoiseModel,
    generator: torch.Generator,
    *,
    counts: torch.Tensor | None = None,
) -> Measured:
    """Curves as an instrument would have measured them.

    Parameters
    ----------
    curves : of the exact convention, with F up to Qmax; one, or b.
    composition : of the sample, see :func:`solvus.models.scattering.composition.composition_of`.
    settings : those of the curves.
    generator : seeded by the caller, who records the seed; it draws alike on every call from the same state.
    counts : (b,), takes the place of the model's.

    Raises
    ------
    SettingsError
        When bins are too wide for rmax, or there is no Qmax.
    """
    errors = errors_of(curves, composition, settings, model, counts=counts)
    delta = errors.draw_f(generator)
    g = curves.g * bin_envelope(curves.r, model.step) + errors.to_g(delta, curves.r)
    clean = bin_means(_padded(curves), errors.q, model.step)
    f = (clean + delta) * (errors.window > 0)
    return Measured(Curves(curves.r, g, errors.q, f), errors)


def errors_of(
    curves: Curves,
    composition: Composition,
    settings: Settings,
    model: NoiseModel,
    *,
    counts: torch.Tensor | None = None,
) -> Errors:
    """The errors of a measurement, as a distribution; parameters as of :func:`measured`."""
    if settings.qmax is None:
        raise SettingsError("qmax: a measurement needs one")
    if settings.rmax > math.pi / model.step:
        raise SettingsError(
            f"step: bins of {model.step:g} 1/angstrom show r up to {math.pi / model.step:.0f} angstrom only, "
            f"not {settings.rmax:g}"
        )
    with torch.no_grad():
        q, window = _bins(settings, model.step)
        q, window = q.to(curves.f), window.to(curves.f)
        lengths = settings.lengths
        power = scattering_power(composition, q, settings.radiation, lengths=lengths)
        there = torch.tensor([model.reference], dtype=torch.float64)
        smooth = scattering_power(composition, there, settings.radiation, lengths=lengths).smooth().to(q)
        structure = roughly(curves, q) / q
        return _errors(q, window, power, smooth, structure, model, counts)


def _errors(
    q: torch.Tensor,
    window: torch.Tensor,
    power: Power,
    smooth: torch.Tensor,
    structure: torch.Tensor,
    model: NoiseModel,
    counts: torch.Tensor | None,
) -> Errors:
    """``smooth`` is I0 at the reference, ``structure`` S - 1 in the bins."""
    background = model.background * smooth
    asked = torch.as_tensor(model.counts if counts is None else counts).to(q)
    asked = asked[:, None] if asked.ndim else asked
    if not bool((asked > 0).all()):
        raise SettingsError("counts: must be positive")
    # Counts per unit of intensity in each bin.
    exposure = asked / (smooth + background) * (q / model.reference) ** model.growth
    # The ripples of a crystal cut off in r would make its intensity negative between the reflections.
    coherent = (power.mean_square + power.square_mean * structure).clamp(min=0.0)
    intensity = coherent + power.inelastic + background
    gain = q / power.square_mean
    blank = None
    if model.background_time > 0 and model.background > 0:
        blank = (exposure * model.background_time * background, gain / (exposure * model.background_time))
    ratio = power.mean_square / power.square_mean
    basis = None
    if model.rpoly > 0:
        basis = correction_basis(q, window, model.rpoly)
    return Errors(
        q=q,
        window=window,
        counts=exposure * intensity,
        per_count=gain / exposure,
        blank=blank,
        slow=slow_modes(q, model.slow).to(q),
        drift=model.drift * smooth * gain if model.drift else None,
        normalisation=model.normalisation * q * (structure + ratio) if model.normalisation else None,
        basis=basis,
    )


def _bins(settings: Settings, step: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Middles of the bins, multiples of the step, and 2/pi times the width of each between Qmin and Qmax."""
    low, high = (torch.as_tensor(v, dtype=torch.float64).detach() for v in (settings.qmin, settings.qmax))
    first = max(1, math.floor(float(low.min()) / step + 0.5))
    last = math.ceil(float(high.max()) / step - 0.5)
    q = torch.arange(first, last + 1, dtype=torch.float64) * step
    low, high = (v[:, None] if v.ndim else v for v in (low, high))
    upper = torch.minimum(q + 0.5 * step, high)
    width = (upper - torch.maximum(q - 0.5 * step, low)).clamp(min=0.0)
    return q, 2.0 / math.pi * width


def _padded(curves: Curves) -> Curves:
    """With F held at its last value beyond the range: the last bin reaches half a step over Qmax."""
    dq = curves.q[..., 1:2] - curves.q[..., :1]
    count = math.ceil(0.5 / float(dq.min())) + 8
    steps = torch.arange(1, count + 1, device=curves.q.device)
    q = torch.cat([curves.q, curves.q[..., -1:] + dq * steps], dim=-1)
    tail = curves.f[..., -1:].expand(*curves.f.shape[:-1], count)
    return Curves(curves.r, curves.g, q, torch.cat([curves.f, tail], dim=-1))


def bin_envelope(r: torch.Tensor, step: float) -> torch.Tensor:
    """What multiplies G when F is averaged over bins of width ``step``: sin(h r / 2) / (h r / 2)."""
    return torch.sinc(r * (step / (2.0 * math.pi)))
