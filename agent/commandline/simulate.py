"""``solvus simulate``: the curve that a structure would give."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from solvus.agent.commandline.console import err, fail, out, print_json
from solvus.agent.commandline.curve_plot import check_picture, draw

if TYPE_CHECKING:
    from solvus.models.pattern import Quantity
    from solvus.models.scattering.sample import Sample
    from solvus.models.scattering.structure import Structure

QUANTITIES: dict[str, Quantity] = {".fq": "F", ".iq": "I"}
"""What `sq` means by the ending of its file."""
LEAST_SHARE = 1e-3
"""Of the atoms; members of a family with less do not show."""


def simulate(
    structure: Annotated[
        str, typer.Argument(help='Library name ("Au icosahedron-561", "TiO2 anatase"), .xyz or .cif file.')
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="File to write: .gr, .xy, .csv, .h5, ...; of sq: .sq, .fq, or .iq for I(Q) per atom.",
        ),
    ],
    technique: Annotated[
        Literal["pdf", "sq", "powder", "saxs"],
        typer.Option(help="G(r), S(Q) (also F, I), powder lines or small angles."),
    ] = "pdf",
    qmin: Annotated[float | None, typer.Option(help="1/angstrom. Default: usual for the technique.")] = None,
    qmax: Annotated[float | None, typer.Option(help="1/angstrom. Default: usual for the technique.")] = None,
    qdamp: Annotated[float, typer.Option(min=0.0, max=0.5, help="1/angstrom.")] = 0.0,
    qbroad: Annotated[float, typer.Option(min=0.0, max=0.5, help="1/angstrom.")] = 0.0,
    delta1: Annotated[
        float, typer.Option(min=0.0, max=5.0, help="Sharpening of near peaks, 1 - delta1/r, angstrom.")
    ] = 0.0,
    delta2: Annotated[
        float, typer.Option(min=0.0, max=20.0, help="Sharpening of near peaks, 1 - delta2/r^2, angstrom^2.")
    ] = 0.0,
    expansion: Annotated[
        float, typer.Option(min=0.5, max=2.0, help="Factor on all lengths of the structure.")
    ] = 1.0,
    pair: Annotated[
        str | None, typer.Option(help="Only the partial curve of two elements, as Ce,O.", show_default=False)
    ] = None,
    rmax: Annotated[float, typer.Option(min=1.0, max=200.0, help="Last r of G(r), angstrom.")] = 30.0,
    rstep: Annotated[float, typer.Option(min=0.001, max=0.5, help="Step of r, angstrom.")] = 0.01,
    u_iso: Annotated[
        float | None,
        typer.Option(
            min=0.0001, max=0.2, help="Displacement of all atoms, angstrom^2. Default: the CIF's, else 0.005."
        ),
    ] = None,
    radiation: Annotated[Literal["xray", "neutron"], typer.Option(help="Kind of beam.")] = "xray",
    wavelength: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=20.0,
            help="angstrom; gives powder lines the factors of I(2theta), written over 2theta in .xy, .xye, .dat, .csv.",
        ),
    ] = None,
    fwhm: Annotated[float, typer.Option(min=1e-4, max=1.0, help="Width of powder lines, 1/angstrom.")] = 0.02,
    diameter: Annotated[
        float | None,
        typer.Option(
            min=1.0, max=1e5, help="Cut spheres of this (median) diameter from a crystal, angstrom."
        ),
    ] = None,
    sigma_diameter: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Standard deviation of ln(diameter); of a library cluster: over its shape."
        ),
    ] = 0.0,
    size_weighting: Annotated[
        Literal["number", "volume"], typer.Option(help="What the distribution of diameters counts.")
    ] = "number",
    others: Annotated[
        list[str] | None, typer.Option("--with", help="Another structure of a mixture; may be repeated.")
    ] = None,
    fractions: Annotated[
        list[float] | None,
        typer.Option("--fraction", min=0.0, max=1.0, help="Share of each --with, in their order."),
    ] = None,
    fraction_by: Annotated[
        Literal["atoms", "mass"], typer.Option(help="What --fraction is a share of.")
    ] = "atoms",
    noise: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            max=1e15,
            help="Counts in a bin of 0.02/angstrom at Q = 10/angstrom; of powder and saxs: at the strongest point.",
        ),
    ] = None,
    drift: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Background left in, as a share of the signal at Q = 10.")
    ] = 0.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the noise. Default: drawn, and printed.")
    ] = None,
    convention: Annotated[
        Literal["exact", "srreal"],
        typer.Option(
            help="srreal: G(r) and S(Q) as diffpy.srreal computes them, with its windows and grids."
        ),
    ] = "exact",
    engine: Annotated[
        Literal["solvus", "srreal"],
        typer.Option(help="srreal: diffpy.srreal (from conda) calculates G(r) or S(Q) of one structure."),
    ] = "solvus",
    plot: Annotated[Path | None, typer.Option(help="Draw the curve (.png, .pdf, .svg).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Simulate the pattern of a structure or a mixture, with counting noise where it is asked for.

    Example: solvus simulate "Au icosahedron-561" --qdamp 0.03 --noise 1e6 --seed 1 -o au.gr --plot au.png

    Example: solvus simulate "TiO2 anatase" --technique sq -o anatase.fq

    Example: solvus simulate anatase.cif --with rutile.cif --fraction 0.2 --fraction-by mass --diameter 80 -o p25.gr
    """
    import secrets

    from solvus.models.formats.write import ANGLES, write_pattern
    from solvus.models.scattering.noise import NoiseModel
    from solvus.models.scattering.techniques import Instrument, simulated

    check_picture(plot)
    if noise is None and (seed is not None or drift > 0.0):
        fail("--seed, --drift: nothing is drawn without --noise", as_json)
    used = secrets.randbits(32) if seed is None else seed
    try:
        for name in (structure, *(others or [])):
            if output.exists() and Path(name).exists() and output.samefile(name):
                fail(f"-o: {output} is the structure itself; name another", as_json)
        with err.status(f"calculating {structure}"):
            sample = _sample(
                (structure, *(others or [])),
                fractions or [],
                fraction_by,
                (diameter, sigma_diameter, size_weighting),
            )
            pattern = simulated(
                sample,
                technique,
                Instrument(
                    qmin=qmin,
                    qmax=qmax,
                    qdamp=qdamp,
                    qbroad=qbroad,
                    delta1=delta1,
                    delta2=delta2,
                    expansion=expansion,
                    pair=_pair(pair),
                    convention=convention,
                    rmax=rmax,
                    rstep=rstep,
                    u_iso=u_iso,
                    radiation=radiation,
                    wavelength=wavelength,
                    fwhm=fwhm,
                    noise=None if noise is None else NoiseModel(counts=noise, drift=drift),
                    seed=used,
                    engine=engine,
                ),
                quantity=QUANTITIES.get(output.suffix.lower(), "S"),
            )
        angles = technique == "powder" and wavelength is not None and output.suffix.lower() in ANGLES
        write_pattern(pattern, output, two_theta=angles)
    except ValueError as error:  # every refusal of the models is a ValueError that says what to do
        fail(str(error), as_json)
    if plot is not None:
        draw(plot, [(f"{structure}: {technique}", [(technique, pattern)])], log=technique == "saxs")
    atoms = sum(len(s.species) for s in sample.structures)
    if as_json:
        print_json(
            {
                "file": str(output),
                "technique": technique,
                "quantity": pattern.quantity,
                "points": len(pattern.x),
                "atoms": atoms,
                "structures": len(sample.structures),
                "seed": None if noise is None else used,
                "conditions": pattern.conditions.model_dump(mode="json"),
            }
        )
        return
    out.print(
        f"{output}: {pattern.quantity}, {len(pattern.x)} points, {atoms} atoms "
        f"({pattern.conditions.composition})" + ("" if noise is None else f", seed {used}"),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _sample(
    names: tuple[str, ...],
    fractions: list[float],
    by: Literal["atoms", "mass"],
    size: tuple[float | None, float, Literal["number", "volume"]],
) -> Sample:
    """The first structure has what the fractions of the others leave."""
    from solvus.models.scattering.sample import Sample
    from solvus.models.scattering.settings import SettingsError
    from solvus.models.scattering.size_distribution import Lognormal

    if len(fractions) != len(names) - 1:
        raise SettingsError(f"--fraction: {len(fractions)} for {len(names) - 1} --with; give one for each")
    if sum(fractions) > 1.0:
        raise SettingsError(
            f"--fraction: together {sum(fractions):g}; at most 1, the first structure has the rest"
        )
    diameter, spread, weighting = size
    structures = [_structure(name) for name in names]
    if diameter is not None:
        if all(s.lattice is None for s in structures):
            raise SettingsError("--diameter: spheres are cut from crystals; a cluster has its own size")
        return Sample.of(
            structures, [1.0 - sum(fractions), *fractions], by=by, size=Lognormal(diameter, spread, weighting)
        )
    if spread > 0.0:
        if len(names) > 1:
            raise SettingsError("--sigma-diameter: of a mixture only with --diameter, for its crystals")
        return _family(names[0], spread, weighting)
    return Sample.of(structures, [1.0 - sum(fractions), *fractions], by=by)


def _structure(text: str) -> Structure:
    """A file where one is named, else an entry of the library."""
    from solvus.models.scattering.settings import SettingsError
    from solvus.models.scattering.structure import from_ase
    from solvus.models.structures.catalogue import Catalogue
    from solvus.models.structures.cif_structure import read_cif
    from solvus.models.structures.library import Library
    from solvus.models.structures.record_structure import structure_of
    from solvus.models.structures.structure_files import read_structure

    path = Path(text).expanduser()
    if path.suffix.lower() == ".cif":
        return read_cif(path).structure
    if path.exists() or path.suffix.lower() in {".xyz", ".vasp", ".pdb"}:
        return from_ase(read_structure(path))
    if text in {entry.name for entry in Library.load("all").entries}:
        raise SettingsError(f"structure: {text!r} may be of any metal; name it, as in 'Au {text}'")
    return structure_of(Catalogue.load().find(text))


def _pair(text: str | None) -> tuple[str, str] | None:
    from solvus.models.scattering.settings import SettingsError

    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2:
        raise SettingsError(f"--pair: {text!r} is not two elements, as in Ce,O")
    return names[0], names[1]


def _family(text: str, spread: float, weighting: Literal["number", "volume"]) -> Sample:
    """A library cluster and its neighbours in size, of the same shape."""
    from solvus.models.scattering.sample import Sample
    from solvus.models.scattering.settings import SettingsError
    from solvus.models.scattering.size_distribution import Lognormal, member_fractions
    from solvus.models.scattering.structure import from_ase
    from solvus.models.structures.catalogue import Catalogue
    from solvus.models.structures.library import Library

    if Path(text).suffix or Path(text).exists():
        raise SettingsError(
            "--sigma-diameter: of a crystal it needs --diameter, and a single cluster has one size only"
        )
    if Catalogue.load().item(text).origin != "clusters":
        raise SettingsError(f"--sigma-diameter: {text} has no family of sizes; a crystal needs --diameter")
    library = Library.load()
    named = library.resolve(text)
    kin = [e for e in library.entries if (e.family, e.shape) == (named.entry.family, named.entry.shape)]
    kin = sorted({e.diameter: e for e in kin}.values(), key=lambda e: e.diameter)
    distribution = Lognormal(named.entry.diameter, spread, weighting)
    shares = member_fractions(distribution, [e.diameter for e in kin], [e.n_atoms for e in kin]).tolist()
    used = [(e, share) for e, share in zip(kin, shares, strict=True) if share > LEAST_SHARE]
    structures = [from_ase(library.atoms(e.name, named.element)) for e, _ in used]
    return Sample.of(structures, [share for _, share in used])
