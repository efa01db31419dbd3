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
from solvus.models.recognition.calibration import Calibration
from solvus.models.recognition.canonical import Range, inputs, on_grid
from solvus.models.recognition.encoder import QUANTITIES, Encoded
from solvus.models.recognition.quality import assess
from solvus.models.recognition.references import Places, nearest, places_of, scores
from solvus.models.recognition.signatures import Radiation, Signatures, signatures_of
from solvus.models.recognition.signatures import shipped as shipped_signatures
from solvus.models.recognition.weights import Weights, shipped
from solvus.models.structures.catalogue import Catalogue
from solvus.models.structures.record import Record

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

LEAST_P = 1e-6
LEAST_MISFIT = 0.03
"""R_w below which a quick fit says no more: what it leaves of a right structure with displacements of its own."""
UNTRAINED = 0.02
"""Probability given to a type that the network was not trained on, a user's own."""
OF_ENTRIES = 0.7
"""Weight of the entries in the probability of a metal."""
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
    neighbours : nearest entries of the library; nearness : cosine to the nearest of all.
    diameter, spacing : angstrom, each with its relative standard uncertainty.
    share : of the main phase in the signal, with the standard uncertainty of its logit.
    strangeness : how unlike anything in the library the pattern is; ``strange`` beyond the threshold.
    """

    kinds: tuple[tuple[str, float], ...]
    metals: tuple[tuple[str, float], ...]
    metal_set: tuple[str, ...]
    neighbours: tuple[Neighbour, ...]
    nearness: float
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
    names : of all entries, own ones last. own : the structures of the user.
    """

    def __init__(self, weights: Weights, own: Sequence[Record] = (), *, only_own: bool = False) -> None:
        self.weights = weights
        kinds = weights.labels.kinds
        entries = () if only_own else weights.labels.entries
        self.names = [*entries, *(record.name for record in own)]
        self._kinds = [kinds[k] for k in weights.labels.kind_of_entry[: len(entries)]]
        self._kinds += [record.type for record in own]
        self.own, self._only_own = tuple(own), only_own
        self._kind_numbers = np.array([self._number(kind) for kind in self._kinds])
        elements = {item.name: item.elements for item in Catalogue.load(own_too=False).items}
        elements |= {record.name: record.elements for record in own}
        nothing: frozenset[str] = frozenset()
        self._metals = np.stack([weights.labels.metals(elements.get(name, nothing)) for name in self.names])
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

    def _number(self, kind: str) -> int:
        """Of a type; -1 for one that the network was not trained on."""
        kinds = self.weights.labels.kinds
        return kinds.index(kind) if kind in kinds else -1

    def references(self, radiation: Radiation) -> Places:
        """Places of all entries, own ones last."""
        if radiation not in self._references:
            held = self.weights.references[radiation]
            if self.own:
                own = self._own_places(radiation)
                held = own if self._only_own else held.joined(own)
            self._references[radiation] = held
        return self._references[radiation]

    def _own_places(self, radiation: Radiation) -> Places:
        made = self.signatures(radiation).subset(record.name for record in self.own)
        found = places_of(self.weights.encoder, made, radiation)
        rows = np.zeros((len(self.own), found.directions.shape[1]), dtype=np.float32)
        spacing = np.full(len(self.own), np.nan, dtype=np.float32)
        place = {record.name: k for k, record in enumerate(self.own)}
        # What the radiation has no data for lies nowhere.
        numbers = [place[name] for name in made.names]
        rows[numbers], spacing[numbers] = found.directions, found.spacing
        return Places(rows, spacing)

    def signatures(self, radiation: Radiation) -> Signatures:
        """Short curves of the shipped records and the own ones."""
        if radiation not in self._signatures:
            held = shipped_signatures(radiation)
            if self.own:
                own = signatures_of(self.own, radiation)
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
        kinds = torch.softmax(encoded.kinds.double() / self._fixed.temperature, dim=1).numpy()
        found: list[Recognition | None] = [None] * len(values)
        for radiation in ("xray", "neutron"):
            rows = np.flatnonzero(neutron == (radiation == "neutron"))
            for first in range(0, len(rows), CHUNK):
                part = rows[first : first + CHUNK]
                score, cosine = self._scores(encoded, part, radiation)
                metals = self.metals(encoded, kinds, part, score)
                near = nearest(score, count)
                for k, row in enumerate(part):
                    found[row] = self._recognition(
                        encoded, int(row), kinds[row], metals[k], near[k], cosine[k]
                    )
        return [answer for answer in found if answer is not None]

    @property
    def _fixed(self) -> Calibration:
        return self.weights.metadata.calibration

    def _scores(
        self, encoded: Encoded, rows: NDArray[np.int64], radiation: Radiation
    ) -> tuple[Singles, Singles]:
        column = QUANTITIES.index("spacing")
        return scores(
            encoded.embedding.numpy()[rows],
            encoded.mean[:, column].numpy()[rows],
            encoded.sd[:, column].numpy()[rows],
            self.references(radiation),
        )

    def metals(self, encoded: Encoded, kinds: Floats, rows: NDArray[np.int64], score: Singles) -> Floats:
        """Probability that each group of metals is present: (n, groups).

        Two estimates are averaged: that of the network's own head, which knows compounds that the library does not
        hold, and the share of the library's entries with the metal, each weighed by its score and its type.
        """
        known = np.flatnonzero(self._metals.any(axis=1))
        head = torch.sigmoid(
            self._fixed.metals_scale * encoded.metals[rows].double() + self._fixed.metals_shift
        ).numpy()
        if not len(known):
            return np.asarray(head)
        of_kind = np.where(self._kind_numbers >= 0, kinds[rows][:, self._kind_numbers], UNTRAINED)
        logs = score[:, known].astype(np.float64) + np.log(np.maximum(of_kind[:, known], LEAST_P))
        weight = np.exp(logs - logs.max(axis=1, keepdims=True))
        shares = (weight / weight.sum(axis=1, keepdims=True)) @ self._metals[known]
        return np.asarray(OF_ENTRIES * shares + (1.0 - OF_ENTRIES) * head)

    def _recognition(
        self,
        encoded: Encoded,
        row: int,
        kinds: Floats,
        metals: Floats,
        numbers: NDArray[np.int64],
        cosine: Singles,
    ) -> Recognition:
        labels, fixed = self.weights.labels, self._fixed
        mean, sd = encoded.mean[row].tolist(), encoded.sd[row].tolist()
        by_name = dict(zip(QUANTITIES, zip(mean, sd, strict=True), strict=True))
        neighbours = tuple(
            Neighbour(self.names[k], self._kinds[k], float(cosine[k])) for k in numbers.tolist()
        )
        strangeness = strangeness_of(kinds[labels.kind(NONE)], float(cosine.max()))
        ranked = _ranked(labels.groups, metals)
        return Recognition(
            _ranked(labels.kinds, kinds),
            ranked,
            tuple(group for group, p in ranked if p >= fixed.metals_threshold),
            neighbours,
            float(cosine.max()),
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


def strangeness_of_fit(none: float, r_w: float, noise: float, weight: float) -> float:
    """Grows with the probability of "none of these" and with what the best quick fit leaves beside the noise.

    Parameters
    ----------
    r_w : of the best quick fit; noise : share of white noise in the pattern's energy.
    weight : of the misfit, as calibrated.
    """
    odds = math.log(max(none, 1e-9) / max(1.0 - none, 1e-9))
    return odds + weight * math.log(max(r_w**2 - noise, 0.0) + LEAST_MISFIT**2)


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
