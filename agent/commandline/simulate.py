"""``solvus simulate``: the curve that a structure would give."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from solvus.agent.commandline.console import fail, out, print_json
from solvus.agent.commandline.curve_plot import check_picture, draw

if TYPE_CHECKING:
    from ase import Atoms


def simulate(
    structure: Annotated[str, typer.Argument(help='Library name ("Au icosahedron-561"), .xyz or .cif file.')],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write: .gr, .sq, .iq, .xy, .csv, .h5, ...")
    ],
    technique: Annotated[
        Literal["pdf", "sq", "powder", "saxs"], typer.Option(help="G(r), S(Q), powder lines or small angles.")
    ] = "pdf",
    qmin: Annotated[float | None, typer.Option(help="1/angstrom. Default: usual for the technique.")] = None,
    qmax: Annotated[float | None, typer.Option(help="1/angstrom. Default: usual for the technique.")] = None,
    qdamp: Annotated[float, typer.Option(min=0.0, max=0.5, help="1/angstrom.")] = 0.0,
    qbroad: Annotated[float, typer.Option(min=0.0, max=0.5, help="1/angstrom.")] = 0.0,
    rmax: Annotated[float, typer.Option(min=1.0, max=200.0, help="Last r of G(r), angstrom.")] = 30.0,
    rstep: Annotated[float, typer.Option(min=0.001, max=0.5, help="Step of r, angstrom.")] = 0.01,
    u_iso: Annotated[float, typer.Option(min=0.0001, max=0.2, help="Displacement, angstrom^2.")] = 0.005,
    radiation: Annotated[Literal["xray", "neutron"], typer.Option(help="Kind of beam.")] = "xray",
    wavelength: Annotated[
        float | None,
        typer.Option(min=0.01, max=20.0, help="angstrom; gives powder lines the factors of I(2theta)."),
    ] = None,
    fwhm: Annotated[float, typer.Option(min=1e-4, max=1.0, help="Width of powder lines, 1/angstrom.")] = 0.02,
    plot: Annotated[Path | None, typer.Option(help="Draw the curve (.png, .pdf, .svg).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Simulate the noise-free pattern of a structure.

    Example: solvus simulate "Au icosahedron-561" --technique pdf --qdamp 0.03 -o au.gr --plot au.png
    """
    from solvus.models.formats.write import write_pattern
    from solvus.models.scattering.techniques import Instrument, simulated

    check_picture(plot)
    try:
        atoms = _atoms(structure)
        if output.exists() and Path(structure).exists() and output.samefile(structure):
            fail(f"-o: {output} is the structure itself; name another", as_json)
        pattern = simulated(
            atoms,
            technique,
            Instrument(
                qmin=qmin,
                qmax=qmax,
                qdamp=qdamp,
                qbroad=qbroad,
                rmax=rmax,
                rstep=rstep,
                u_iso=u_iso,
                radiation=radiation,
                wavelength=wavelength,
                fwhm=fwhm,
            ),
        )
        write_pattern(pattern, output)
    except ValueError as error:  # every refusal of the models is a ValueError that says what to do
        fail(str(error), as_json)
    if plot is not None:
        draw(plot, [(f"{structure}: {technique}", [(technique, pattern)])], log=technique == "saxs")
    if as_json:
        print_json(
            {
                "file": str(output),
                "technique": technique,
                "quantity": pattern.quantity,
                "points": len(pattern.x),
            }
            | {"atoms": len(atoms), "conditions": pattern.conditions.model_dump(mode="json")}
        )
        return
    out.print(
        f"{output}: {pattern.quantity}, {len(pattern.x)} points, {len(atoms)} atoms "
        f"({pattern.conditions.composition})",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _atoms(text: str) -> Atoms:
    """A file where one is named, else an entry of the library."""
    from solvus.models.structures.library import Library
    from solvus.models.structures.structure_files import read_structure

    path = Path(text).expanduser()
    if path.exists() or path.suffix.lower() in {".xyz", ".cif", ".vasp", ".pdb"}:
        return read_structure(path)
    library = Library.load()
    named = library.resolve(text)
    return library.atoms(named.entry.name, named.element)
