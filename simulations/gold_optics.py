"""What a spectrometer at the flow cell sees of a gold sol: three numbers, seconds after the synthesis.

With the diameter d of the particles in nm, from W. Haiss, N. T. K. Thanh, J. Aveyard and D. G. Fernig, Anal. Chem. 79,
4215 (2007), doi:10.1021/ac0702084:

- ``plasmon_wavelength`` = 512 + 6.53 exp(0.0216 d) nm, their fit above 25 nm, which hardly moves below 10 nm;
- ``plasmon_ratio`` = (ln d + 2.20) / 3.00, the absorbance at the peak over that at 450 nm, their equation 11, fitted to
  measurements at 5 to 80 nm.

The particles of this world are 1.2 to 5.8 nm, so both are taken beyond where they were fitted; they have the right
shape and are blind to the family. Besides, ``absorbance`` at 400 nm in 1 cm is taken as proportional to the gold that
is reduced: 1.2 where all of it is. Each is read with normal noise of the standard deviation that is sent with it.
"""

from __future__ import annotations

import math

import numpy as np

from solvus.drivers.messages import Signal, Signals

WAVELENGTH_NOISE = 0.5
"""nm, of a peak that is 80 nm wide."""
RATIO_NOISE = 0.01
ABSORBANCE_NOISE = 0.01
FULL_ABSORBANCE = 1.2
"""Where all of the gold is reduced."""


def seen(diameter: float, conversion: float, draw: np.random.Generator) -> Signals:
    """The signals of one sample; ``diameter`` in angstrom, ``conversion`` the share of the gold that is reduced."""
    nanometres = diameter / 10.0
    wavelength = 512.0 + 6.53 * math.exp(0.0216 * nanometres)
    ratio = (math.log(nanometres) + 2.20) / 3.00
    absorbance = FULL_ABSORBANCE * conversion
    noise = draw.normal(size=3)
    return {
        "plasmon_wavelength": Signal(
            value=round(wavelength + WAVELENGTH_NOISE * noise[0], 2), sd=WAVELENGTH_NOISE, unit="nm"
        ),
        "plasmon_ratio": Signal(value=round(ratio + RATIO_NOISE * noise[1], 4), sd=RATIO_NOISE),
        "absorbance": Signal(value=round(absorbance + ABSORBANCE_NOISE * noise[2], 4), sd=ABSORBANCE_NOISE),
    }
