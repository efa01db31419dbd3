"""Raw data of the virtual instrument: what is in them can be taken off again, and the shipped background is its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solvus.drivers.laboratory import load_laboratory
from solvus.models.formats.read import read_pattern
from solvus.models.identify import identify
from solvus.models.pattern import Pattern
from solvus.models.reduction.reduce import reduce
from solvus.models.reduction.settings import settings_of
from solvus.simulations import raw_intensity
from solvus.simulations.chance import generator
from solvus.simulations.diffractometer import DiffractometerSettings
from solvus.simulations.gold import GoldWorld, scattering_sample
from solvus.simulations.world import Instrument, Product

LABORATORIES = Path(__file__).parents[2] / "configs/laboratories"
SETTINGS = settings_of(composition="Au", qmin=0.8, qmax=20.0, rmax=60.0, rstep=0.02)


def product(family: str = "decahedral", diameter: float = 35.0) -> Product:
    return Product(
        world="gold",
        composition="Au",
        fractions={family: 1.0},
        diameter=diameter,
        relative_width=0.06,
        bond_length=2.88,
        u_iso=0.009,
        delta2=2.0,
    )


def measured(of: Product, **changes: Any) -> Pattern:
    return GoldWorld().measure(of, Instrument(**changes), seed=0, experiment=1, replicate=0)


@pytest.fixture(scope="module")
def background() -> Pattern:
    return read_pattern(LABORATORIES / "gold-raw-background.xye").pattern


def test_shipped_background_is_what_the_instrument_measures(background: Pattern) -> None:
    instrument = Instrument(exposure=600.0)
    again = raw_intensity.measure_background(instrument, generator(0, "background"))
    assert background.x == pytest.approx(again.x) and background.y == pytest.approx(again.y, rel=1e-5)
    assert background.dy == pytest.approx(again.dy, rel=1e-5)


def test_shipped_laboratory_differs_in_nothing_but_its_data() -> None:
    plain, raw = (load_laboratory(LABORATORIES / f"{name}.yaml") for name in ("gold", "gold-raw"))
    reduction = raw.devices[1].reduction
    assert reduction is not None and reduction.background is not None and reduction.background.is_file()
    ours = raw.devices[1].driver_settings()
    assert (
        ours.pop("store") == "world.sqlite"
        and DiffractometerSettings(store=Path("w"), **ours).output == "raw"
    )
    assert ours.pop("output") == "raw"
    assert ours == {k: v for k, v in plain.devices[1].driver_settings().items() if k != "store"}


@pytest.mark.parametrize(("family", "diameter"), [("decahedral", 35.0), ("icosahedral", 28.0)])
def test_reduced_raw_data_say_what_a_measured_pdf_says(
    family: str, diameter: float, background: Pattern
) -> None:
    sample = product(family, diameter)
    direct = measured(sample)
    reduced = reduce(measured(sample, output="raw"), SETTINGS, background).g
    seen = (direct.x > 1.6) & (direct.x < 30.0)
    ours = np.interp(direct.x, reduced.x, reduced.y)
    assert np.corrcoef(ours[seen], direct.y[seen])[0, 1] > 0.985
    one, other = (identify(p, elements=("Au",), qdamp=0.03, qbroad=0.01) for p in (direct, reduced))
    assert other.verdict == "identified" and other.candidates[0].family == one.candidates[0].family
    for name, tolerance in (("diameter", 0.03), ("bond_length", 0.001)):
        assert other.descriptors[name].mean == pytest.approx(one.descriptors[name].mean, rel=tolerance)
    share = f"fraction:{family}"
    assert other.descriptors[share].mean == pytest.approx(one.descriptors[share].mean, abs=0.03)


def test_counting_errors_are_stated_as_they_are() -> None:
    """Two exposures of one sample differ by the noise alone where amount, flux and gain are the same."""
    sample, instrument = scattering_sample(product()), Instrument()
    first = raw_intensity.measure(sample, instrument, generator(0, "a"))
    many = raw_intensity.measure(
        sample, Instrument(exposure=1e9), generator(0, "a")
    )  # same draws before counting
    assert first.dy is not None and first.quantity == "I" and first.conditions.composition == "Au"
    assert np.std((first.y - many.y) / first.dy) == pytest.approx(1.0, abs=0.1)


def test_it_matters_that_the_background_is_taken_off(background: Pattern) -> None:
    raw, direct = measured(product(), output="raw"), measured(product())
    seen = (direct.x > 1.6) & (direct.x < 30.0)

    def likeness(reduced: Pattern) -> tuple[float, float]:
        ours = np.interp(direct.x, reduced.x, reduced.y)[seen]
        return float(np.corrcoef(ours, direct.y[seen])[0, 1]), float(ours @ direct.y[seen])

    with_it, without = (likeness(reduce(raw, SETTINGS, b).g) for b in (background, None))
    assert without[0] < with_it[0], "the shape is farther off"
    assert without[1] < 0.7 * with_it[1], "what is not gold makes the amplitude of gold smaller"


def test_the_detector_sees_no_farther_than_its_wavelength() -> None:
    raw = measured(product(), output="raw", wavelength=0.62)
    assert raw.x[-1] <= 4.0 * np.pi / 0.62
