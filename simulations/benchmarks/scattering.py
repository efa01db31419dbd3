"""How fast the scattering engine is, beside the programs of the field run on the same machine in the same process.

Every row is the median CPU time of repeated calls on one thread, ours and the peer's in turn, so that a busy machine
slows both. The structure is moved at every call, so nothing that depends on it can be kept. Peers come with
``pip install 'solvus[bench]'`` (DebyeCalculator, diffpy.pdffit2); diffpy.srreal comes from conda. A peer that is not
installed leaves its row with the reason.
"""

from __future__ import annotations

import importlib
import io
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.cluster import Icosahedron

from solvus.models.scattering.calculate import calculate
from solvus.models.scattering.exact import curves_of, table_for
from solvus.models.scattering.settings import Settings
from solvus.models.scattering.structure import Structure, cluster, crystal
from solvus.simulations.benchmarks.bulk import bench_bulk

U_ISO = 0.0076
"""angstrom^2; DebyeCalculator's default B = 0.6 angstrom^2."""
B_ISO = 8.0 * np.pi**2 * U_ISO
CLUSTER = Settings(rmax=30.0, rstep=0.01, qmin=1.0, qmax=25.0, qdamp=0.04)
CRYSTAL = Settings(rmax=30.0, rstep=0.01, qmax=25.0, qdamp=0.04, delta2=2.0)
SHELLS = {147: 4, 309: 5, 561: 6, 1415: 8}
CONDITIONS = 1000
COSTS = (3, 5, 7, 10, 14, 22)
"""Shells of icosahedra of 55 to 33,153 atoms."""


@dataclass(frozen=True)
class Row:
    """One comparison. ``ratio`` is the peer's time over ours; ``note`` says why a time is missing."""

    name: str
    peer: str
    ours_s: float | None
    peer_s: float | None
    ratio: float | None
    goal: float | None
    note: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


def bench(repeats: int = 7) -> Iterator[Row]:
    """Rows as they come; ``repeats`` calls of each."""
    torch.set_num_threads(1)
    yield from _against_debyecalculator(repeats)
    yield from _against_real_space("pdffit2", "diffpy.pdffit2", _pdffit2, repeats)
    yield from _against_real_space("srreal", "diffpy.srreal", _srreal, repeats)
    yield from _alone(repeats)
    for made in bench_bulk():
        note = f"{made.rate:.0f} patterns per second; {made.note}"
        yield Row(f"{made.name} of {made.patterns}", "none", made.seconds, None, None, None, note)


def _compare(
    name: str, peer: str, ours: Callable[[], Any], theirs: Callable[[], Any], goal: float, repeats: int
) -> Row:
    mine, other = [], []
    ours()
    theirs()
    for _ in range(repeats):
        mine.append(_seconds(ours))
        other.append(_seconds(theirs))
    ours_s, peer_s = statistics.median(mine), statistics.median(other)
    return Row(name, peer, ours_s, peer_s, peer_s / ours_s, goal)


def _seconds(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _gold(shells: int) -> tuple[list[str], torch.Tensor, torch.Generator]:
    places = torch.from_numpy(Icosahedron("Au", shells).positions)  # type: ignore[no-untyped-call]
    return ["Au"] * len(places), places, torch.Generator().manual_seed(1)


def _against_debyecalculator(repeats: int) -> Iterator[Row]:
    peer = "DebyeCalculator"
    try:
        module = importlib.import_module("debyecalculator")
    except ImportError as error:
        yield Row("clusters", peer, None, None, None, None, f"not installed: {error}")
        return
    calculator = module.DebyeCalculator(
        device="cpu", qmin=1.0, qmax=25.0, rmax=30.0, rstep=0.01, qdamp=0.04, biso=B_ISO
    )
    for atoms, shells in SHELLS.items():
        names, places, draw = _gold(shells)

        def moved(places: torch.Tensor = places, draw: torch.Generator = draw) -> torch.Tensor:
            return places + 0.01 * torch.randn(places.shape, generator=draw, dtype=places.dtype)

        def ours(names: list[str] = names) -> torch.Tensor:
            return calculate(cluster(names, moved(), u_iso=U_ISO), CLUSTER).g

        def theirs(names: list[str] = names) -> Any:
            return calculator.gr((names, moved().float()))

        def ours_back(names: list[str] = names) -> None:
            x = moved().requires_grad_()
            calculate(cluster(names, x, u_iso=U_ISO), CLUSTER).g.square().sum().backward()  # type: ignore[no-untyped-call]

        def theirs_back(names: list[str] = names) -> None:
            x = moved().float().requires_grad_()
            calculator.gr((names, x), keep_on_device=True)[1].square().sum().backward()

        yield _compare(f"Au{atoms} G(r)", peer, ours, theirs, 2.0, repeats)
        yield _compare(f"Au{atoms} G(r) and gradient", peer, ours_back, theirs_back, 5.0, repeats)
    yield _conditions(calculator, peer)


def _conditions(calculator: Any, peer: str) -> Row:
    """Many conditions of one cluster; the peer's time is that of 20 calls, times 50."""
    names, places, draw = _gold(6)
    uniform = torch.rand((4, CONDITIONS), generator=draw, dtype=torch.float64)
    varied = Settings(
        rmax=30.0,
        rstep=0.01,
        qmin=0.5 + uniform[0],
        qmax=20.0 + 5.0 * uniform[1],
        qdamp=0.05 * uniform[2],
        u_iso=0.003 + 0.01 * uniform[3],
    )

    def ours() -> torch.Tensor:
        structure = cluster(names, places).to(dtype=torch.float32)
        return curves_of(table_for(structure, varied), varied).g

    def theirs() -> None:
        for k in range(20):
            calculator.update_parameters(
                qmin=float(0.5 + uniform[0, k]), qmax=float(20.0 + 5.0 * uniform[1, k]), biso=0.3 + 0.001 * k
            )
            calculator.gr((names, places.float()))

    ours()
    theirs()
    mine = statistics.median(_seconds(ours) for _ in range(3))
    other = statistics.median(_seconds(theirs) for _ in range(3)) * CONDITIONS / 20
    calculator.update_parameters(qmin=1.0, qmax=25.0, biso=B_ISO)
    return Row(f"{CONDITIONS} conditions of Au561, float32", peer, mine, other, other / mine, 20.0)


def ceria(a: float) -> Structure:
    """CeO2, 12 sites."""
    metal = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    oxygen = np.array([[x, y, z] for x in (0.25, 0.75) for y in (0.25, 0.75) for z in (0.25, 0.75)])
    return crystal(
        ["Ce"] * 4 + ["O"] * 8,
        np.vstack([metal, oxygen]),
        [a, a, a, 90, 90, 90],
        u_iso=[0.004] * 4 + [0.008] * 8,
    )


def magnetite(a: float) -> Structure:
    """Fe3O4, 56 sites."""
    from ase.spacegroup import crystal as spacegroup_crystal

    atoms = spacegroup_crystal(
        ["Fe", "Fe", "O"],
        [(0.125, 0.125, 0.125), (0.5, 0.5, 0.5), (0.2549, 0.2549, 0.2549)],
        spacegroup=227,
        setting=2,
        cellpar=[a, a, a, 90, 90, 90],
    )
    names = list(atoms.symbols)
    u = [0.005 if name == "Fe" else 0.008 for name in names]
    return crystal(names, atoms.positions / a, [a, a, a, 90, 90, 90], u_iso=u)


def _against_real_space(
    peer: str, module: str, prepare: Callable[[Any, Structure], Callable[[float], Any]], repeats: int
) -> Iterator[Row]:
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        yield Row("crystals", peer, None, None, None, None, f"not installed: {error}")
        return
    for name, make, a in (("CeO2", ceria, 5.411), ("Fe3O4", magnetite, 8.397)):
        sites = make(a)
        call = prepare(loaded, sites)
        draw = np.random.default_rng(1)

        def ours(sites: Structure = sites, draw: np.random.Generator = draw) -> torch.Tensor:
            stretched = 1.0 + 0.01 * float(draw.random())
            return calculate(replace(sites, lattice=stretched * _lattice(sites)), CRYSTAL).g

        def theirs(
            call: Callable[[float], Any] = call, a: float = a, draw: np.random.Generator = draw
        ) -> Any:
            return call(a * (1.0 + 0.01 * float(draw.random())))

        yield _compare(f"{name} to 30 angstrom, new lattice", peer, ours, theirs, 5.0, repeats)


def _lattice(sites: Structure) -> torch.Tensor:
    if sites.lattice is None:
        raise ValueError("lattice: this benchmark is of crystals")
    return sites.lattice


def _as_diffpy(sites: Structure) -> Any:
    structures = importlib.import_module("diffpy.structure")
    a = float(_lattice(sites)[0, 0])
    atoms = [
        structures.Atom(name, place, Uisoequiv=u)
        for name, place, u in zip(sites.species, sites.positions.tolist(), sites.u.tolist(), strict=True)
    ]
    return structures.Structure(atoms, lattice=structures.Lattice(a, a, a, 90, 90, 90))


def _pdffit2(module: Any, sites: Structure) -> Callable[[float], Any]:
    module.redirect_stdout(io.StringIO())
    fit = module.PdfFit()
    fit.add_structure(_as_diffpy(sites))
    fit.alloc("X", 25.0, 0.04, 0.01, 29.99, 2999)
    fit.setvar("delta2", 2.0)

    def call(a: float) -> Any:
        for k in (1, 2, 3):
            fit.setvar(f"lat({k})", a)
        fit.calc()
        return fit.getpdf_fit()

    return call


def _srreal(module: Any, sites: Structure) -> Callable[[float], Any]:
    pdf = importlib.import_module(f"{module.__name__}.pdfcalculator")
    calculator = pdf.PDFCalculator(rmax=30.0, rstep=0.01, qmax=25.0, qdamp=0.04, delta2=2.0)
    structure = _as_diffpy(sites)

    def call(a: float) -> Any:
        structure.lattice.setLatPar(a, a, a)
        return calculator(structure)[1]

    return call


def _alone(repeats: int) -> Iterator[Row]:
    """What it costs by the number of atoms, and in bulk."""
    for shells in COSTS:
        names, places, _ = _gold(shells)
        calls = repeats if len(names) < 5000 else 1
        taken = statistics.median(
            _seconds(lambda n=names, x=places: calculate(cluster(n, x, u_iso=U_ISO), CLUSTER))  # type: ignore[misc]
            for _ in range(calls)
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        note = f"{len(names)} atoms; {peak:.2f} GB at most so far"
        yield Row(f"Au{len(names)} G(r)", "none", taken, None, None, None, note)


def cost_figure(rows: Sequence[Row], file: Path) -> None:
    """Draw time against the number of atoms, ours and DebyeCalculator's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    alone = [
        (int(r.name[2:].split()[0]), r.ours_s) for r in rows if r.peer == "none" and r.name.startswith("Au")
    ]
    peer = [
        (int(r.name[2:].split()[0]), r.peer_s)
        for r in rows
        if r.peer == "DebyeCalculator" and r.name.startswith("Au") and r.name.endswith("G(r)")
    ]
    for points, label in ((alone, "Solvus"), (peer, "DebyeCalculator")):
        if points:
            axes.loglog(*zip(*points, strict=True), "o-", label=label)
    axes.set_xlabel("atoms of gold")
    axes.set_ylabel("CPU seconds for G(r) to 30 Å")
    axes.legend()
    figure.savefig(file)
