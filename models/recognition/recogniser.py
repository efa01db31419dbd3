"""The learned recogniser: patterns in, types, metals, sizes and the nearest library entries out.

    >>> recogniser = Recogniser.load()
    >>> recogniser.recognise([pattern])[0].kinds[:3]

Nothing is refined here; :mod:`solvus.models.identify` is the door through which a pattern is judged. r in angstrom, Q
in 1/angstrom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from solvus.models.identification import NONE
from solvus.models.pattern import Pattern, PatternError
from solvus.models.recognition.canonical import Range, inputs, on_grid
from solvus.models.recognition.encoder import QUANTITIES, Encoded
from solvus.models.recognition.quality import assess
from solvus.models.recognition.references import Places, nearest, places_of
from solvus.models.recognition.signatures import Radiation, Signatures, signatures_of
from solvus.models.recognition.signatures import shipped as shipped_signatures
from solvus.models.recognition.weights import Weights, shipped
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

CHUNK = 1024
"""Patterns encoded at once."""


@dataclass(frozen=True)
class Neighbour:
    """A library entry with the cosine between its place and the pattern's."""

    name: str
    kind: str
    cosine: float


@dataclass(frozen=True)
class Recognition:
    """What the network alone says of one pattern.

    Attributes
    ----------
    kinds : structure types with calibrated probabilities, most probable first, "none of these" among them.
    metals : groups of metals with the probability that each is present, most probable first.
    metal_set : groups that hold every metal of the sample with the promised coverage.
    neighbours : nearest entries of the library.
    diameter, spacing : angstrom, each with its relative standard uncertainty.
    share : of the main phase in the signal, with the standard uncertainty of its logit.
    strangeness : how unlike anything in the library the pattern is; ``strange`` beyond the threshold.
    """

    kinds: tuple[tuple[str, float], ...]
    metals: tuple[tuple[str, float], ...]
    metal_set: tuple[str, ...]
    neighbours: tuple[Neighbour, ...]
    diameter: tuple[float, float]
    spacing: tuple[float, float]
    share: tuple[float, float]
    strangeness: float
    strange: bool

    def probability(self, kind: str) -> float:
        """Of one structure type; zero for one that the network was not trained on."""
        return dict(self.kinds).get(kind, 0.0)


class Recogniser:
    """The weights with what they search; :meth:`load` takes the shipped ones.

    Parameters
    ----------
    own : structures of a user, found beside the shipped ones, or ``only_own`` in their place, without training.

    Attributes
    ----------
    names : of all entries, own ones last.
    """

    def __init__(self, weights: Weights, own: Sequence[Record] = (), *, only_own: bool = False) -> None:
        self.weights = weights
        kinds = weights.labels.kinds
        entries = () if only_own else weights.labels.entries
        self.names = [*entries, *(record.name for record in own)]
        self._kinds = [kinds[k] for k in weights.labels.kind_of_entry[: len(entries)]]
        self._kinds += [record.type for record in own]
        self._own, self._only_own = tuple(own), only_own
        self._references: dict[str, Places] = {}
        self._signatures: dict[str, Signatures] = {}

    @staticmethod
    def load(own: Sequence[Record] = ()) -> Recogniser:
        """The shipped recogniser.

        Raises
        ------
        WeightsError
            When its files cannot be used.
        """
        return Recogniser(shipped(), own)

    def references(self, radiation: Radiation) -> Places:
        """Places of all entries, own ones last."""
        if radiation not in self._references:
            held = self.weights.references[radiation]
            if self._own:
                own = self._own_places(radiation)
                held = own if self._only_own else held.joined(own)
            self._references[radiation] = held
        return self._references[radiation]

    def _own_places(self, radiation: Radiation) -> Places:
        made = self.signatures(radiation).subset(record.name for record in self._own)
        found = places_of(self.weights.encoder, made, radiation)
        rows = np.zeros((len(self._own), found.directions.shape[1]), dtype=np.float32)
        spacing = np.full(len(self._own), np.nan, dtype=np.float32)
        place = {record.name: k for k, record in enumerate(self._own)}
        # What the radiation has no data for lies nowhere.
        numbers = [place[name] for name in made.names]
        rows[numbers], spacing[numbers] = found.directions, found.spacing
        return Places(rows, spacing)

    def signatures(self, radiation: Radiation) -> Signatures:
        """Short curves of the shipped records and the own ones."""
        if radiation not in self._signatures:
            held = shipped_signatures(radiation)
            if self._own:
                own = signatures_of(self._own, radiation)
                held = own if self._only_own else held.joined(own)
            self._signatures[radiation] = held
        return self._signatures[radiation]

    def encode(self, values: Singles) -> Encoded:
        """Of canonical inputs (n, 308)."""
        parts = []
        with torch.inference_mode():
            for first in range(0, len(values), CHUNK):
                parts.append(self.weights.encoder(torch.from_numpy(values[first : first + CHUNK])))
        return Encoded(
            *(torch.cat([getattr(p, name) for p in parts]) for name in Encoded.__dataclass_fields__)
        )

    def recognise(self, patterns: Sequence[Pattern], *, count: int = 60) -> list[Recognition]:
        """What the network says of each pattern.

        Parameters
        ----------
        count : neighbours returned.

        Raises
        ------
        PatternError
            For a pattern that is no G(r) or in no state to be read; the sentence gives the reason.
        """
        values, neutron = [], []
        for pattern in patterns:
            quality = assess(pattern, (1.6, 20.0))
            if quality.reasons:
                raise PatternError(quality.reasons[0])
            values.append(canonical(pattern, quality.qmin, quality.qmax))
            neutron.append(pattern.conditions.radiation == "neutron")
        return self.answers(np.concatenate(values), np.array(neutron), count=count) if values else []

    def answers(self, values: Singles, neutron: NDArray[np.bool_], *, count: int = 60) -> list[Recognition]:
        """The same of canonical inputs (n, 308)."""
        encoded = self.encode(values)
        spacing = QUANTITIES.index("spacing")
        mean, sd = encoded.mean[:, spacing].numpy(), encoded.sd[:, spacing].numpy()
        found: list[Recognition | None] = [None] * len(values)
        for radiation in ("xray", "neutron"):
            rows = np.flatnonzero(neutron == (radiation == "neutron"))
            if not len(rows):
                continue
            near, cosine = nearest(
                encoded.embedding.numpy()[rows], mean[rows], sd[rows], self.references(radiation), count
            )
            for row, numbers, cosines in zip(rows, near, cosine, strict=True):
                found[row] = self._recognition(encoded, int(row), numbers, cosines)
        return [answer for answer in found if answer is not None]

    def _recognition(
        self, encoded: Encoded, row: int, numbers: NDArray[np.int64], cosines: Singles
    ) -> Recognition:
        labels, fixed = self.weights.labels, self.weights.metadata.calibration
        kinds = torch.softmax(encoded.kinds[row].double() / fixed.temperature, dim=0).numpy()
        metals = torch.sigmoid(fixed.metals_scale * encoded.metals[row].double() + fixed.metals_shift).numpy()
        mean, sd = encoded.mean[row].tolist(), encoded.sd[row].tolist()
        by_name = dict(zip(QUANTITIES, zip(mean, sd, strict=True), strict=True))
        neighbours = tuple(
            Neighbour(self.names[k], self._kinds[k], float(c)) for k, c in zip(numbers, cosines, strict=True)
        )
        strangeness = strangeness_of(kinds[labels.kind(NONE)], float(cosines.max()))
        return Recognition(
            _ranked(labels.kinds, kinds),
            _ranked(labels.groups, metals),
            tuple(g for g, p in _ranked(labels.groups, metals) if p >= fixed.metals_threshold),
            neighbours,
            (math.exp(by_name["diameter"][0]), by_name["diameter"][1]),
            (math.exp(by_name["spacing"][0]), by_name["spacing"][1]),
            (1.0 / (1.0 + math.exp(-by_name["share"][0])), by_name["share"][1]),
            strangeness,
            strangeness > fixed.strangeness,
        )


def strangeness_of(none: float, cosine: float) -> float:
    """Grows with the probability of "none of these" and with the distance to the nearest entry."""
    odds = math.log(max(none, 1e-9) / max(1.0 - none, 1e-9))
    return odds + 10.0 * (1.0 - cosine)


def canonical(pattern: Pattern, qmin: float, qmax: float) -> Singles:
    """The encoder's input of one pattern with the range of Q that it was made with: (1, 308).

    Raises
    ------
    PatternError
        For what is no G(r).
    """
    if pattern.quantity != "G":
        raise PatternError(f"quantity: G(r) is needed, not {pattern.quantity}; transform it first")
    qdamp = pattern.conditions.qdamp
    conditions = Range(
        np.array([qmin]),
        np.array([qmax]),
        np.array([np.nan if qdamp is None else qdamp]),
        np.array([pattern.x[0]]),
        np.array([pattern.x[-1]]),
        np.array([pattern.conditions.radiation == "neutron"]),
    )
    return inputs(on_grid(pattern.x, pattern.y)[None], conditions)


def _ranked(names: Sequence[str], values: Floats) -> tuple[tuple[str, float], ...]:
    order = np.argsort(-values, kind="stable")
    return tuple((names[k], float(values[k])) for k in order)
