"""The figure of docs/scattering.md: what the two conventions of the scattering engine make of gold and of ceria.

python -m solvus.simulations.benchmarks.conventions docs/conventions.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.form_factors import form_factors
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.structure import from_ase
from solvus.simulations.benchmarks.scattering import ceria

SETTINGS = Settings(rmin=1.0, rmax=12.0, qmin=0.5, qmax=22.0, qdamp=0.03)


def draw(file: Path) -> None:
    """G(r) of gold and ceria under both conventions, and the weights of ceria's pairs."""
    from ase.build import bulk

    figure = Figure(figsize=(7, 8), layout="constrained")
    panels = figure.subplots(3, 1)
    gold = from_ase(bulk("Au", cubic=True), u_iso=0.008)
    for axes, structure, name in zip(panels[:2], (gold, ceria(5.411)), ("Au", "CeO$_2$"), strict=True):
        exact = calculate(structure, SETTINGS)
        srreal = calculate(structure, SETTINGS, convention="srreal")
        difference = srreal.g - exact.g
        axes.plot(exact.r, exact.g, label="exact")
        axes.plot(srreal.r, srreal.g, "--", label="srreal")
        axes.plot(exact.r, difference - float(exact.g.abs().max()), color="grey", label="difference")
        axes.set_title(
            f"{name}, X-rays: largest difference {float(difference.abs().max() / exact.g.abs().max()):.1%}"
        )
        axes.set_xlabel("r (Å)")
        axes.set_ylabel("G(r) (Å$^{-2}$)")
        axes.legend(loc="upper left", ncols=3)
    q = np.linspace(0.0, 22.0, 200)
    cerium, oxygen = form_factors(["Ce", "O"], q)
    mean = (cerium + 2.0 * oxygen) / 3.0
    for label, weight in (
        ("Ce-Ce", cerium**2 / 9.0),
        ("Ce-O", 4.0 * cerium * oxygen / 9.0),
        ("O-O", 4.0 * oxygen**2 / 9.0),
    ):
        panels[2].plot(q, weight / mean**2, label=label)
    panels[2].set_title("Weight of each pair in CeO$_2$: the srreal convention takes its value at Q = 0")
    panels[2].set_xlabel("Q (Å$^{-1}$)")
    panels[2].set_ylabel("c$_a$c$_b$f$_a$f$_b$ / <f>$^2$")
    panels[2].legend()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
