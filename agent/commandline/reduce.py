"""``solvus reduce`` and ``solvus calibrate``: from what a detector counted to G(r), and what a standard says of the
instrument.

Only the edge is here; the reduction itself is :mod:`solvus.models.reduction.reduce`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solvus.agent.commandline.console import err, fail, out, print_json
from solvus.agent.commandline.curve_plot import check_picture, draw

if TYPE_CHECKING:
    from solvus.models.formats.read import Reading
    from solvus.models.pattern import Conditions, Pattern
    from solvus.models.reduction.calibrate import CalibrationFit
    from solvus.models.reduction.settings import ReductionSettings

UNIT_HELP = "Unit of the first column: 1/angstrom, 1/nm or 2theta. Default: what the header says."


def reduce(
    raw: Annotated[Path, typer.Argument(help="I(Q) or I(2theta), or S(Q) or F(Q) to transform only.")],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Ending .gr, .fq, .sq, .csv, .h5, ...: that curve is written."),
    ],
    background: Annotated[
        Path | None, typer.Option(help="I(Q) of the empty container or the solvent.")
    ] = None,
    composition: Annotated[
        str | None, typer.Option(help="Formula, as CeO2. Default: the one in the file's header.")
    ] = None,
    qmin: Annotated[float | None, typer.Option(help="1/angstrom. Default: where the data begin.")] = None,
    qmax: Annotated[float | None, typer.Option(help="1/angstrom. Default: where the data end.")] = None,
    qmaxinst: Annotated[
        float | None, typer.Option(help="End of the range that is corrected, 1/angstrom. Default: qmax.")
    ] = None,
    rpoly: Annotated[float, typer.Option(help="Correct what stands in G(r) below this, angstrom.")] = 0.9,
    scale: Annotated[str, typer.Option(help="Factor on the background, or `fit`.")] = "1",
    rmax: Annotated[float, typer.Option(help="Last r, angstrom.")] = 30.0,
    rstep: Annotated[float, typer.Option(help="Step of r, angstrom.")] = 0.01,
    lorch: Annotated[bool, typer.Option("--lorch", help="Apply the Lorch window.")] = False,
    tilt: Annotated[
        str,
        typer.Option(
            help="Tilt of the detector that the integration left in: degrees, `auto`, or `header` (take out the "
            "one in the file's header if the data show it)."
        ),
    ] = "header",
    radiation: Annotated[str | None, typer.Option(help="xray or neutron. Default: the file's.")] = None,
    unit: Annotated[str | None, typer.Option(help=UNIT_HELP)] = None,
    quantity: Annotated[
        str | None, typer.Option(help="What the file holds: I, S or F. Default: by header and ending.")
    ] = None,
    wavelength: Annotated[float | None, typer.Option(min=0.0, help="angstrom; needed for 2theta.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves (.png, .pdf, .svg).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Reduce a measured intensity to S(Q), F(Q) or G(r).

    Example: solvus reduce ni.chi --background kapton.chi --composition Ni --qmax 25 -o ni.gr
    """
    from solvus.models.formats.write import write_pattern
    from solvus.models.pattern import PatternError
    from solvus.models.reduction.settings import settings_of

    check_picture(plot)
    try:
        _refuse_overwriting(output, raw, background)
        reading = _read(raw, unit, quantity, wavelength)
        other = None if background is None else _read(background, unit, None, wavelength)
        held = reading.pattern
        formula = composition or held.conditions.composition
        if formula is None and held.quantity == "I":
            raise PatternError("--composition: name the sample's, as in --composition CeO2")
        settings = settings_of(
            composition=formula or "C",  # of no effect when S(Q) or F(Q) is only transformed
            radiation=radiation or held.conditions.radiation,
            qmin=qmin,
            qmax=qmax,
            qmaxinst=qmaxinst,
            rpoly=rpoly,
            background_scale=_number_or(scale, "--scale", ("fit",)),
            lorch=lorch,
            tilt=_number_or(tilt, "--tilt", ("auto", "header")),
            rmax=rmax,
            rstep=rstep,
        )
        with err.status(f"reducing {raw.name}"):
            curves, report = _curves(reading, other, settings)
        wanted = {".sq": "S", ".fq": "F"}.get(output.suffix.lower(), "G")
        write_pattern(curves[wanted], output)
    except PatternError as error:
        fail(str(error), as_json)
    if plot is not None:
        draw(plot, [(raw.name, [(name, curve)]) for name, curve in curves.items()])
    notes = [*reading.notes, *(other.notes if other else ()), *report.pop("notes")]
    made = curves[wanted]
    if as_json:
        known = made.conditions.model_dump(mode="json")
        print_json(
            {"file": str(output), "quantity": wanted, "points": len(made.x), **report, "notes": notes} | known
        )
        return
    for note in notes:
        err.print(note, markup=False, highlight=False, soft_wrap=True)
    span = f"Q {made.conditions.qmin:.3g} to {made.conditions.qmax:.3g} 1/Å"
    out.print(
        f"{output}: {wanted}, {len(made.x)} points, {span}", markup=False, highlight=False, soft_wrap=True
    )


def calibrate(
    standard: Annotated[Path, typer.Argument(help="G(r) of a measured standard, to 20 angstrom or more.")],
    structure: Annotated[str, typer.Option(help="Element of the standard: Ni, Au, Si, W, ...")] = "Ni",
    qmin: Annotated[float | None, typer.Option(help="1/angstrom. Default: the file's.")] = None,
    qmax: Annotated[float | None, typer.Option(help="1/angstrom. Default: the file's.")] = None,
    wavelength: Annotated[float | None, typer.Option(help="angstrom. Default: the file's.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Which standard, and when. Default: element and file name.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the block to this file as well.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw data and fit (.png, .pdf, .svg).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Refine Qdamp and Qbroad from a standard, and print the calibration block for LAB.yaml.

    Example: solvus calibrate ni_powder.gr --structure Ni -o calibration.yaml
    """
    import yaml

    from solvus.models.pattern import PatternError
    from solvus.models.pattern_files import read_gr
    from solvus.models.reduction.calibrate import calibrate as refine

    check_picture(plot)
    try:
        pattern = read_gr(standard)
        known = {"qmin": qmin, "qmax": qmax, "wavelength": wavelength}
        stated = {key: value for key, value in known.items() if value is not None}
        pattern = pattern.model_copy(update={"conditions": _stated(pattern.conditions, stated)})
        with err.status(f"fitting {standard.name}"):
            fit = refine(pattern, structure)
        _refuse_overwriting(output, standard, None)
    except PatternError as error:
        fail(str(error), as_json)
    length = pattern.conditions.wavelength
    block: dict[str, Any] = {
        "standard": name or f"{structure} ({standard.name})",
        "qmin": fit.qmin,
        "qmax": fit.qmax,
        "qdamp": round(fit.parameters["qdamp"], 5),
        "qbroad": round(fit.parameters["qbroad"], 5),
        **({} if length is None else {"wavelength": length}),
    }
    text = yaml.safe_dump({"calibration": block}, sort_keys=False)
    if output is not None:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            fail(f"-o: {output} cannot be written ({error.strerror})", as_json)
    if plot is not None:
        draw(plot, _fit_panels(standard.name, fit))
    if as_json:
        print_json(
            {
                "calibration": block,
                "r_w": fit.r_w,
                "parameters": fit.parameters,
                "uncertainties": fit.uncertainties,
            }
        )
        return
    if length is None:
        err.print("wavelength: not in the file; add it to the block, or give --wavelength", soft_wrap=True)
    values = ", ".join(
        f"{key} {fit.parameters[key]:.4g} ± {fit.uncertainties[key]:.1g}"
        for key in ("a", "u_iso", "qdamp", "qbroad")
    )
    err.print(f"{structure}: R_w {fit.r_w:.3f}, {values}", highlight=False, soft_wrap=True)
    typer.echo(text, nl=False)


def _stated(conditions: Conditions, stated: dict[str, float]) -> Conditions:
    """The conditions of a file with what the options state."""
    from pydantic import ValidationError

    from solvus.models.pattern import Conditions, PatternError

    try:
        return Conditions(**(conditions.model_dump() | stated))
    except ValidationError as error:
        first = error.errors()[0]
        where = f"--{first['loc'][0]}" if first["loc"] else "--qmin, --qmax"
        raise PatternError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error


def _fit_panels(name: str, fit: CalibrationFit) -> list[tuple[str, list[tuple[str, Pattern]]]]:
    from solvus.models.pattern import Pattern

    difference = fit.observed - fit.calculated
    offset = float(fit.observed.min() - 1.1 * difference.max())
    curves = {"measured": fit.observed, "calculated": fit.calculated, "difference": difference + offset}
    title = f"{name}: Qdamp {fit.parameters['qdamp']:.4f}, Qbroad {fit.parameters['qbroad']:.4f} 1/Å"
    return [(f"{title}, $R_w$ {fit.r_w:.3f}", [(key, Pattern(x=fit.r, y=y)) for key, y in curves.items()])]


def _read(path: Path, unit: str | None, quantity: str | None, wavelength: float | None) -> Reading:
    from solvus.models.formats.read import read_pattern, require_quantity, require_unit

    return read_pattern(
        path, x_unit=require_unit(unit), quantity=require_quantity(quantity), wavelength=wavelength
    )


def _refuse_overwriting(output: Path | None, *inputs: Path | None) -> None:
    from solvus.models.pattern import PatternError

    for path in inputs:
        if (
            path is not None
            and output is not None
            and output.exists()
            and path.exists()
            and output.samefile(path)
        ):
            raise PatternError(
                f"-o: {output} is an input; measured files are never overwritten, so name another"
            )


def _number_or(text: str, option: str, words: tuple[str, ...]) -> float | str:
    from solvus.models.pattern import PatternError

    if text in words:
        return text
    try:
        return float(text)
    except ValueError as error:
        raise PatternError(f"{option}: {text!r} is neither a number nor {' or '.join(words)}") from error


def _curves(
    reading: Reading, background: Reading | None, settings: ReductionSettings
) -> tuple[dict[str, Pattern], dict[str, Any]]:
    """The curves made, by quantity, and what there is to say."""
    from solvus.models.pattern import Pattern, PatternError
    from solvus.models.reduction.reduce import reduce as reduce_intensity
    from solvus.models.reduction.transform import r_grid, reduced_structure_function, to_pdf

    raw = reading.pattern
    if raw.quantity == "I":
        done = reduce_intensity(
            raw, settings, background.pattern if background else None, header_tilt=reading.tilt_degrees
        )
        report = {"background_scale": done.background_scale, "degree": done.degree, "tilt": done.tilt}
        return {"S": done.s, "F": done.f, "G": done.g}, {**report, "notes": done.notes}
    if background is not None:
        raise PatternError(f"--background: {raw.quantity}(Q) is reduced already; leave the background out")
    f = reduced_structure_function(raw)
    r = r_grid(settings.rmin, settings.rmax, settings.rstep)
    g = to_pdf(f, r, qmin=settings.qmin, qmax=settings.qmax, lorch=settings.lorch)
    s = raw if raw.quantity == "S" else None
    if s is None and f.x[0] > 0:
        dy = None if f.dy is None else f.dy / f.x
        s = Pattern(quantity="S", x_unit="1/angstrom", x=f.x, y=1 + f.y / f.x, dy=dy, conditions=f.conditions)
    curves = {"F": f, "G": g} if s is None else {"S": s, "F": f, "G": g}
    return curves, {"notes": ()}
