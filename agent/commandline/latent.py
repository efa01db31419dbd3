"""``solvus latent``: from a pattern to atoms, a map of structures, and the ways between them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solvus.agent.commandline.console import BAD_INPUT, err, fail, out, print_json
from solvus.agent.commandline.latent_reembed import reembed

if TYPE_CHECKING:
    from solvus.agent.latent import Sample
    from solvus.agent.ledger.ledger import Ledger
    from solvus.models.latent.generate import Generated
    from solvus.models.latent.map_content import Named
    from solvus.models.latent.map_content import Path as Route
    from solvus.models.latent.posterior import LatentPosterior
    from solvus.models.latent.walk import Step
    from solvus.models.latent.weights import Weights
    from solvus.models.pattern import Pattern

latent_app = typer.Typer(
    no_args_is_help=True, help="Structures of metal particles decoded from patterns; their map."
)
latent_app.command("reembed")(reembed)

MAPS = {".png", ".pdf", ".svg", ".html"}
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Elements = Annotated[
    str | None,
    typer.Option(help="Metals the sample may hold, as in Pt or Au,Ag. Default: any.", show_default=False),
]
Qdamp = Annotated[
    float | None,
    typer.Option(
        min=0.0, max=0.5, help="Damping of the instrument, 1/angstrom. Default: the file's, or refined."
    ),
]


@latent_app.command("decode")
def decode(
    files: Annotated[list[Path], typer.Argument(help="G(r) files (.gr), r in angstrom.", show_default=False)],
    folder: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the structures (.xyz).", show_default=False),
    ] = None,
    elements: Elements = None,
    samples: Annotated[
        int, typer.Option(min=1, max=100_000, help="Places drawn from the posterior and decoded.")
    ] = 160,
    seed: Annotated[int, typer.Option(min=0, help="Of the samples.")] = 0,
    r_range: Annotated[tuple[float, float], typer.Option("--range", help="Range of r for R_w, angstrom.")] = (
        1.6,
        30.0,
    ),
    qdamp: Qdamp = None,
    as_json: AsJson = False,
) -> None:
    """Decode, refine and rank structures that explain patterns of metal particles.

    Each structure becomes a file with its probability and R_w: NAME-1-icosahedral-55.xyz, its atoms refined one by one
    in NAME-1-icosahedral-55-relaxed.xyz.

    Example: solvus latent decode gold.gr --elements Au -o structures
    """
    from solvus.models.latent.generate import generate
    from solvus.models.pattern import PatternError
    from solvus.models.recognition.weights import WeightsError
    from solvus.models.structures.library import LibraryError

    documents: list[dict[str, Any]] = []
    for path, pattern in _patterns(files, as_json):
        try:
            answer = generate(
                pattern,
                elements=_names(elements),
                r_range=r_range,
                samples=samples,
                seed=seed,
                qdamp=qdamp,
            )
            written = [] if folder is None else _write(answer, path, folder)
        except (PatternError, LibraryError, WeightsError) as error:
            documents.append({"file": str(path), "error": str(error)})
            continue
        documents.append({"file": str(path), **_document(answer), "structures": written})
        if not as_json:
            _print(path, answer)
    _end(documents, as_json)


def _end(documents: list[dict[str, Any]], as_json: bool) -> None:
    errors = [document["error"] for document in documents if "error" in document]
    if as_json:
        print_json({"files": documents})
    for message in errors:
        err.print(f"solvus: {message}", markup=False, highlight=False, soft_wrap=True)
    if errors:
        raise typer.Exit(BAD_INPUT)


@latent_app.command("map")
def draw(
    output: Annotated[Path, typer.Option("--output", "-o", help=".png, .pdf, .svg, or .html to look about.")],
    pattern: Annotated[
        list[Path] | None, typer.Option(help="A G(r) to place; may be repeated.", show_default=False)
    ] = None,
    elements: Elements = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Place patterns by the network alone, without refinement.")
    ] = False,
    campaign: Annotated[
        list[str] | None,
        typer.Option(help="A campaign to draw as a path; may be repeated.", show_default=False),
    ] = None,
    ledger: Annotated[
        str | None, typer.Option(help="Of the campaigns. Default: the usual one.", show_default=False)
    ] = None,
    qdamp: Qdamp = None,
    as_json: AsJson = False,
) -> None:
    """Draw the map: particles by family and size, patterns as ellipses, campaigns as paths.

    Example: solvus latent map --pattern au144.gr -o map.html
    """
    from solvus.models.latent.map_content import MapContent, Named
    from solvus.models.latent.map_page import write_page
    from solvus.models.latent.map_picture import draw_map
    from solvus.models.pattern import PatternError
    from solvus.models.structures.clusters import ALL_FAMILIES
    from solvus.models.structures.library import LibraryError

    _check_output(output, MAPS, as_json)
    weights = _weights(as_json)
    named: list[Named] = []
    try:
        for path, read in _patterns(pattern or [], as_json):
            named.append(Named(path.stem, _posterior(weights, read, elements, qdamp, quick)))
    except (PatternError, LibraryError) as error:
        fail(f"{path}: {error}", as_json)
    outline = weights.outline
    content = MapContent(
        outline.place.astype("float64"),
        [ALL_FAMILIES[k] for k in outline.family.tolist()],
        outline.atoms,
        named,
        _routes(campaign or [], ledger, weights, as_json),
    )
    try:
        if output.suffix.lower() == ".html":
            write_page(content, weights, output)
        else:
            draw_map(content, output)
    except OSError as error:
        fail(f"--output: {output} cannot be written ({error.strerror})", as_json)
    if as_json:
        posteriors = {one.name: one.posterior.model_dump(mode="json") for one in named}
        print_json({"map": str(output), "version": weights.version, "patterns": posteriors})
    else:
        out.print(str(output), highlight=False, markup=False, soft_wrap=True)


@latent_app.command("walk")
def walk_between(
    start: Annotated[str, typer.Argument(help="A structure: a file, or a name of the library.")],
    end: Annotated[str, typer.Argument(help="Another one.")],
    steps: Annotated[
        int, typer.Option(min=2, max=200, help="Structures on the way, both ends included.")
    ] = 9,
    element: Annotated[str, typer.Option(help="The metal that structures and patterns are made of.")] = "Au",
    folder: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for structures and patterns.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decode the way between two structures, and check that each step is one that atoms could take.

    Example: solvus latent walk "Au fcc-sphere-201" "Au hcp-sphere-293" --steps 9 -o way
    """
    from solvus.models.latent.walk import place_of, walk
    from solvus.models.structures.library import LibraryError, require_metal
    from solvus.models.structures.structure_files import StructureFileError

    weights = _weights(as_json)
    try:
        bond = require_metal(element)
        ends = [place_of(weights, _positions(name))[0] for name in (start, end)]
    except (LibraryError, StructureFileError, ValueError) as error:
        fail(str(error), as_json)
    way = walk(weights, ends[0], ends[1], steps)
    if folder is not None:
        _write_way(way, folder, element, bond, as_json)
    rows = [_step_row(k, step) for k, step in enumerate(way, start=1)]
    if as_json:
        print_json({"version": weights.version, "steps": rows})
        return
    for row in rows:
        told = row["structure"] or "nothing"
        fault = f"  [{'; '.join(row['faults'])}]" if row["faults"] else ""
        out.print(f"{row['step']:3d}  {told}{fault}", markup=False, highlight=False, soft_wrap=True)


def _step_row(number: int, step: Step) -> dict[str, Any]:
    return {
        "step": number,
        "structure": None if step.particle is None else step.particle.name,
        "n_atoms": None if step.particle is None else step.particle.n_atoms,
        "place": [round(float(v), 6) for v in step.z],
        "physical": step.sane,
        "faults": list(step.check.faults),
        "coordination": step.check.coordination,
    }


def _write_way(way: list[Step], folder: Path, element: str, bond: float, as_json: bool) -> None:
    import numpy as np
    from ase import Atoms
    from ase.io import write

    from solvus.models.formats.write import write_pattern
    from solvus.models.pattern import Conditions
    from solvus.models.scattering.simulate import pattern_of

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, step in enumerate(way, start=1):
            if step.particle is None:
                continue
            atoms = Atoms([element] * step.particle.n_atoms, positions=step.particle.positions * bond)
            stem = folder / f"step-{number:03d}-{step.particle.name}"
            write(stem.with_suffix(".xyz"), atoms, format="xyz", comment=step.particle.name)
            conditions = Conditions(radiation="xray", qmin=0.5, qmax=25.0, qdamp=0.03, composition=element)
            pattern = pattern_of(atoms, conditions, np.arange(0.01, 30.0, 0.01))
            stem.with_suffix(".gr").unlink(missing_ok=True)
            write_pattern(pattern, stem.with_suffix(".gr"))
    except OSError as error:
        fail(f"--output: {folder} cannot be written ({error.strerror})", as_json)


def _positions(name: str) -> Any:
    """Positions (n, 3) of the atoms of a file, or of a structure of the library."""
    from solvus.models.structures.library import Library
    from solvus.models.structures.structure_files import read_cluster

    path = Path(name)
    if path.suffix and path.is_file():
        return read_cluster(path).positions
    library = Library.load("all")
    named = library.resolve(name if " " in name else f"Au {name}")
    return library.atoms(named.entry.name, named.element).positions


def _names(elements: str | None) -> list[str] | None:
    from solvus.models.pattern import PatternError

    if elements is None:
        return None
    names = [name.strip() for name in elements.split(",") if name.strip()]
    if not names:
        raise PatternError("--elements: name at least one, such as Pt or Au,Ag")
    return names


def _patterns(files: list[Path], as_json: bool) -> Iterator[tuple[Path, Pattern]]:
    """Each file with its pattern, under a bar where a person is watching; ends where one cannot be read."""
    from rich.progress import track

    from solvus.models.pattern import PatternError
    from solvus.models.pattern_files import read_gr

    watched = len(files) > 0 and err.is_terminal
    for path in track(files, "placing", console=err, transient=True, disable=not watched):
        try:
            yield path, read_gr(path)
        except PatternError as error:
            fail(str(error), as_json)


def _weights(as_json: bool) -> Weights:
    from solvus.models.latent.weights import shipped
    from solvus.models.recognition.weights import WeightsError

    try:
        return shipped()
    except WeightsError as error:
        fail(str(error), as_json)


def _posterior(
    weights: Weights, pattern: Pattern, elements: str | None, qdamp: float | None, quick: bool
) -> LatentPosterior:
    from solvus.models.latent.generate import R_RANGE, generate
    from solvus.models.latent.placing import placed
    from solvus.models.latent.posterior import LatentPosterior

    if quick:
        return LatentPosterior.of(placed(weights, pattern, R_RANGE)[0], weights.version)
    return generate(pattern, elements=_names(elements), qdamp=qdamp, weights=weights).posterior


def _routes(campaigns: list[str], ledger: str | None, weights: Weights, as_json: bool) -> list[Route]:
    """Campaigns as these weights place their samples."""
    from solvus.agent.commandline.reading import read_ledger
    from solvus.agent.latent import posteriors_of
    from solvus.models.latent.map_content import Named
    from solvus.models.latent.map_content import Path as Route

    routes = []
    for campaign in campaigns:
        samples = read_ledger(ledger, partial(_measured, campaign), as_json=as_json)
        placed = posteriors_of(weights, samples)
        named = tuple(Named(f"experiment {number}", posterior) for number, posterior in placed.items())
        routes.append(Route(campaign, named))
    return routes


async def _measured(campaign: str, ledger: Ledger) -> dict[int, Sample]:
    from solvus.agent.latent import measured_samples

    return await measured_samples(ledger, campaign)


def _check_output(path: Path, endings: set[str], as_json: bool) -> None:
    if path.suffix.lower() not in endings:
        fail(f"--output: {path.name} needs the ending {', '.join(sorted(endings))}", as_json)
    if not path.parent.is_dir():
        fail(f"--output: no folder {path.parent}", as_json)


def _write(answer: Generated, source: Path, folder: Path) -> list[str]:
    """One or two files for each hypothesis, and the posterior; returns their names."""
    from ase import Atoms
    from ase.io import write

    from solvus.models.pattern import PatternError

    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for rank, one in enumerate(answer.hypotheses, start=1):
            element = one.elements[0] if one.elements else "X"
            stem = f"{source.stem}-{rank}-{one.name}"
            told = f"{one.name}; probability {one.probability:.3f}; bond length {one.bond:.4f} angstrom"
            others = ", ".join(one.elements) or "no known metal"
            for name, positions, r_w in (
                (stem, one.positions(), one.r_w),
                *([(f"{stem}-relaxed", one.relaxed.positions, one.relaxed.r_w)] if one.relaxed else []),
            ):
                atoms = Atoms([element] * len(positions), positions=positions)
                comment = f"{told}; R_w {r_w:.4f}; metals of this bond length: {others}"
                write(folder / f"{name}.xyz", atoms, format="xyz", comment=comment)
                written.append(str(folder / f"{name}.xyz"))
        target = folder / f"{source.stem}.latent.json"
        target.write_text(answer.posterior.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise PatternError(f"--output: {folder} cannot be written ({error.strerror})") from error
    return [*written, str(target)]


def _document(answer: Generated) -> dict[str, Any]:
    return {
        "explained": answer.explained,
        "limit": answer.limit,
        "looked_at": answer.looked_at,
        "r_range": list(answer.r_range),
        "seed": answer.seed,
        "hypotheses": [
            {
                "structure": one.name,
                "family": one.particle.family,
                "n_atoms": one.particle.n_atoms,
                "probability": one.probability,
                "r_w": one.r_w,
                "r_w_relaxed": None if one.relaxed is None else one.relaxed.r_w,
                "bond_length": one.bond,
                "diameter": one.diameter,
                "elements": list(one.elements),
                "parameters": one.fit.parameters,
                "uncertainties": one.fit.uncertainties,
            }
            for one in answer.hypotheses
        ],
        "seen": answer.seen.model_dump(mode="json"),
        "posterior": answer.posterior.model_dump(mode="json"),
    }


def _print(path: Path, answer: Generated) -> None:
    from rich.table import Table

    verdict = (
        "explained"
        if answer.explained
        else f"none of these: the best leaves more than R_w {answer.limit:.2f} unexplained"
    )
    out.print(f"{path}: {verdict}", highlight=False, markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for heading in ("structure", "p", "R_w", "relaxed", "bond / Å", "diameter / Å", "metals"):
        table.add_column(heading, justify="left" if heading in ("structure", "metals") else "right")
    for one in answer.hypotheses:
        table.add_row(
            one.name,
            f"{one.probability:.2f}",
            f"{one.r_w:.3f}",
            "" if one.relaxed is None else f"{one.relaxed.r_w:.3f}",
            f"{one.bond:.3f}",
            f"{one.diameter:.1f}",
            ", ".join(one.elements),
        )
    out.print(table)
