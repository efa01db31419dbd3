"""Draws the figure of docs/scattering.md: what counting, drift and normalisation do to G(r).

python -m solvus.simulations.benchmarks.noise_figure docs/noise.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from ase.cluster import Icosahedron
from matplotlib.figure import Figure

from solvus.models.scattering.composition import composition_of
from solvus.models.scattering.exact import exact_curves
from solvus.models.scattering.noise import NoiseModel, errors_of, measured
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.structure import from_ase

SETTINGS = Settings(qmin=0.7, qmax=25.0, qdamp=0.03, rmax=20.0, rstep=0.01)
DOSES = (1e3, 1e5)
COUNTING = NoiseModel(counts=1e5)
MODELS = {
    "counting": COUNTING,
    "counting, drift 1 %, normalisation 2 %": COUNTING.model_copy(
        update={"drift": 0.01, "normalisation": 0.02}
    ),
    "the same without polynomial correction": COUNTING.model_copy(
        update={"drift": 0.01, "normalisation": 0.02, "rpoly": 0.0}
    ),
}


def draw(file: Path) -> None:
    """Write the figure."""
    particle = from_ase(Icosahedron("Au", 4))  # type: ignore[no-untyped-call]
    curves, gold = exact_curves(particle, SETTINGS), composition_of(particle)
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    r = curves.r.numpy()
    for counts, shift in zip(DOSES, (0.0, 18.0), strict=True):
        model = NoiseModel(counts=counts)
        made = measured(curves, gold, SETTINGS, model, torch.Generator().manual_seed(1))
        above.plot(
            r, made.curves.g.numpy() - shift, lw=1.0, label=f"{counts:.0e} counts at 10/Å".replace("e+0", "e")
        )
        above.plot(r, curves.g.numpy() - shift, lw=0.7, color="black", ls=":")
    above.set_ylabel("G(r) / Å⁻²")
    above.legend(loc="upper right", fontsize=8)
    grid = curves.r[10::10]
    for name, model in MODELS.items():
        deviation = errors_of(curves, gold, SETTINGS, model).deviation(grid)
        below.semilogy(grid.numpy(), deviation.numpy(), lw=1.2, label=name)
    below.set_ylim(1e-3, 30.0)
    below.set_xlim(0.0, SETTINGS.rmax)
    below.set_xlabel("r / Å")
    below.set_ylabel("standard deviation / Å⁻²")
    below.legend(loc="upper right", fontsize=8)
    figure.savefig(file, dpi=150)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
