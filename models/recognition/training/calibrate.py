"""The numbers of the calibration, fixed on patterns that training never saw.

Drawn are new variants of every record under new conditions, without second phases, and structures of other chemistry of
a split that training does not hold. Half of the patterns fix the numbers; the other half measures what they are worth,
and that is written beside the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from solvus.models.identification import NONE
from solvus.models.recognition.calibration import Calibration
from solvus.models.recognition.candidates import Data
from solvus.models.recognition.canonical import GRID, UNKNOWN_QDAMP, inputs
from solvus.models.recognition.evidence import Evidence, EvidenceWeights, posterior
from solvus.models.recognition.recogniser import Recogniser, Recognition, strangeness_of_fit
from solvus.models.recognition.short_list import evidence_of, short_list
from solvus.models.recognition.training.bank import Bank
from solvus.models.recognition.training.recipe import Recipe
from solvus.models.recognition.training.stream import Patterns, Stream
from solvus.models.recognition.weights import Weights

Floats = NDArray[np.float64]
Progress = Callable[[str, Iterable[Any], int], Iterable[Any]]

NETWORK_BATCHES = 12
"""Of 1,024 patterns each, for what the network alone needs."""
FITTED_BATCHES = 2
"""For what quick fits have part in: they take a tenth of a second for each pattern."""
NOISE_OF_SETS, QMAX_OF_SETS = 0.012, 12.0
"""The coverage of the set of metals is promised up to this noise and from this Qmax (1/angstrom)."""
FAR = 0.01
"""Share of the patterns of the library that count as far from all of its entries."""
MEASURED_MISFITS = (0.04, 0.08, 0.10, 0.13, 0.19, 0.20, 0.29, 0.30, 0.37)
"""R_w that the true structures of nine measured patterns leave (docs/identify.md). Simulated patterns leave less, so
what measurement and model add is added to theirs, to each pattern one."""
R_FIRST, R_LAST = 1.6, 20.0
BINS = 15


@dataclass(frozen=True)
class _Case:
    """One pattern with the fits of its short list and the truth; ``left`` is the misfit of a measured pattern."""

    evidence: Evidence
    truth: str
    left: float

    @property
    def measured(self) -> Evidence:
        """As if the misfit of a measured pattern came on top."""
        square = self.evidence.r_w**2
        return replace(self.evidence, r_w=np.sqrt(square + self.left**2 * (1.0 - square)))

    def strangeness(self, weight: float, evidence: Evidence) -> float:
        best = float(evidence.r_w.min(initial=1.0))
        return strangeness_of_fit(evidence.p_none, best, evidence.noise, weight)


def calibrated(
    weights: Weights, bank: Bank, recipe: Recipe, progress: Progress = lambda what, rows, total: rows
) -> tuple[Calibration, dict[str, float]]:
    """Calibration, and what it is worth on patterns that it was not fixed on.

    Parameters
    ----------
    bank : of the recipe's calibration. recipe : of the training run.
    """
    own = recipe.of_calibration
    stream, usual = Stream(bank, own), Stream(bank, own.model_copy(update={"wide": 0.0}))
    numbers = progress("calibration", range(NETWORK_BATCHES), NETWORK_BATCHES)
    drawn = [(stream.patterns(k), usual.patterns(k)) for k in numbers]
    fixed, metrics = _of_network(weights, [one for one, _ in drawn])
    fixed, of_sets = _of_sets(weights, fixed, [other for _, other in drawn])
    metrics |= of_sets
    recogniser = with_calibration(weights, fixed)
    cases = []
    for number in range(NETWORK_BATCHES, NETWORK_BATCHES + FITTED_BATCHES):
        cases += _cases(recogniser, stream.patterns(number), progress)
    half = len(cases) // 2
    evidence = fitted_weights(cases[:half])
    metrics |= {f"posterior_{k}": v for k, v in _worth(cases[half:], evidence).items()}
    fixed, of_strangeness = _of_strangeness(fixed, cases[:half], cases[half:])
    return fixed.model_copy(update={"evidence": evidence}), metrics | of_strangeness


def _of_strangeness(
    fixed: Calibration, first: Sequence[_Case], second: Sequence[_Case]
) -> tuple[Calibration, dict[str, float]]:
    """The weight of the misfit by logistic regression on patterns as they were simulated, and the threshold with the
    misfits of measured ones."""
    features = [
        [case.strangeness(0.0, case.evidence), case.strangeness(1.0, case.evidence)] for case in first
    ]
    x = np.array(features)
    x[:, 1] -= x[:, 0]
    found = LogisticRegression().fit(x, [case.truth == NONE for case in first])
    weight = float(found.coef_[0, 1] / max(found.coef_[0, 0], 1e-6))

    def judged(cases: Sequence[_Case]) -> tuple[torch.Tensor, torch.Tensor]:
        strange = [case.strangeness(weight, case.measured) for case in cases]
        return torch.tensor(strange, dtype=torch.float64), torch.tensor([c.truth == NONE for c in cases])

    limit = _limit(*judged(first), fixed.acceptance)
    strange, foreign = judged(second)
    changes = {"strange_misfit": weight, "strangeness_fitted": limit}
    return fixed.model_copy(update=changes), {
        "fitted_accepted_in_domain": _share(strange[~foreign] <= limit),
        "fitted_accepted_foreign": _share(strange[foreign] <= limit),
    }


@dataclass(frozen=True)
class _Truths:
    """Of n drawn patterns: inputs (n, 308), numbers of their types, metals (n, groups), and for which patterns the set
    of metals is promised."""

    inputs: NDArray[np.float32]
    neutron: NDArray[np.bool_]
    kind: torch.Tensor
    metals: torch.Tensor
    known: torch.Tensor
    promised: torch.Tensor

    @staticmethod
    def of(drawn: Sequence[Patterns]) -> _Truths:
        batches = [patterns.batch() for patterns in drawn]
        metals = torch.from_numpy(np.concatenate([b.metals for b in batches]))
        known = torch.from_numpy(np.concatenate([b.known for b in batches]))
        of_library = torch.from_numpy(np.concatenate([b.entry for b in batches]) >= 0)
        quiet = np.concatenate([p.noise for p in drawn]) <= NOISE_OF_SETS
        sharp = np.concatenate([p.conditions.qmax for p in drawn]) >= QMAX_OF_SETS
        return _Truths(
            np.concatenate([b.inputs for b in batches]),
            np.concatenate([p.conditions.neutron for p in drawn]),
            torch.from_numpy(np.concatenate([b.kinds[:, 0] for b in batches])),
            metals,
            known,
            known & of_library & torch.from_numpy(quiet & sharp) & metals.any(dim=1),
        )


def _of_network(weights: Weights, drawn: Sequence[Patterns]) -> tuple[Calibration, dict[str, float]]:
    truths = _Truths.of(drawn)
    half = len(truths.kind) // 2
    first, second = slice(0, half), slice(half, None)
    encoded = Recogniser(weights).encode(truths.inputs)
    kind, known = truths.kind, truths.known
    scale, shift = _platt(encoded.metals[first][known[first]].double(), truths.metals[first][known[first]])
    temperature = _temperature(encoded.kinds[first].double(), kind[first])
    fixed = Calibration(temperature=temperature, metals_scale=scale, metals_shift=shift)
    answers = with_calibration(weights, fixed).answers(truths.inputs, truths.neutron, count=1)
    strange = torch.tensor([a.strangeness for a in answers], dtype=torch.float64)
    foreign = kind == weights.labels.kind(NONE)
    limit = _limit(strange[first], foreign[first], fixed.acceptance)
    p = torch.softmax(encoded.kinds.double() / temperature, dim=1)[second]
    inside, right = ~foreign[second], p.argmax(dim=1) == kind[second]
    accepted = strange[second] <= limit
    third = (p.topk(3).indices == kind[second][:, None]).any(dim=1)
    return fixed.model_copy(update={"strangeness": limit}), {
        "kind_top1": _share(right[inside]),
        "kind_top3": _share(third[inside]),
        "kind_ece": calibration_error(p.max(dim=1).values, right),
        "accepted_in_domain": _share(accepted[inside]),
        "accepted_foreign": _share(accepted[~inside]),
    }


def _of_sets(
    weights: Weights, fixed: Calibration, drawn: Sequence[Patterns]
) -> tuple[Calibration, dict[str, float]]:
    """The threshold of the sets of metals, on compounds of the library whose cells are hardly strained."""
    truths = _Truths.of(drawn)
    asked = truths.promised.numpy()
    answers = with_calibration(weights, fixed).answers(truths.inputs[asked], truths.neutron[asked], count=1)
    groups = weights.labels.groups
    present = torch.tensor([[dict(a.metals)[g] for g in groups] for a in answers], dtype=torch.float64)
    truth = truths.metals[asked]
    half = len(truth) // 2
    threshold = _threshold(present[:half], truth[:half], fixed.coverage)
    held = present[half:] >= threshold
    nearness = float(np.quantile([a.nearness for a in answers], FAR))
    return fixed.model_copy(update={"metals_threshold": threshold, "nearness": nearness}), {
        "metals_coverage": _share((held | ~truth[half:]).all(dim=1)),
        "metals_set_size": float(held.sum(dim=1).double().mean()),
    }


def with_calibration(weights: Weights, fixed: Calibration) -> Recogniser:
    """A recogniser with other numbers."""
    return Recogniser(replace(weights, metadata=weights.metadata.model_copy(update={"calibration": fixed})))


def _temperature(logits: torch.Tensor, truth: torch.Tensor) -> float:
    def loss(x: Floats) -> float:
        return float(functional.cross_entropy(logits / math.exp(x[0]), truth))

    return math.exp(float(minimize(loss, [0.0], method="Nelder-Mead", options={"maxiter": 60}).x[0]))


def _platt(logits: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    target = truth.double()

    def loss(x: Floats) -> float:
        return float(functional.binary_cross_entropy_with_logits(math.exp(x[0]) * logits + x[1], target))

    found = minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"maxiter": 120}).x
    return math.exp(float(found[0])), float(found[1])


def _threshold(present: torch.Tensor, truth: torch.Tensor, coverage: float) -> float:
    """Split conformal prediction (Vovk et al., 2005): the probability that the least probable metal of the sample
    exceeds in ``coverage`` of the patterns, with the correction for their finite number."""
    least = torch.where(truth, present, torch.inf).min(dim=1).values.sort().values
    rank = math.floor((1.0 - coverage) * (len(least) + 1)) - 1
    return float(least[max(rank, 0)])


def _limit(strange: torch.Tensor, foreign: torch.Tensor, acceptance: float) -> float:
    """Halfway between what accepts ``acceptance`` of the library and what refuses it of other chemistry, where the
    first refuses more than that already; else the first."""
    inside = float(torch.quantile(strange[~foreign], acceptance))
    outside = float(torch.quantile(strange[foreign], 1.0 - acceptance))
    return max(inside, 0.5 * (inside + outside))


def _share(of: torch.Tensor) -> float:
    return float(of.double().mean())


def calibration_error(confidence: torch.Tensor, right: torch.Tensor) -> float:
    """Expected calibration error over bins of equal numbers (Naeini et al., AAAI 2015)."""
    order = torch.argsort(confidence)
    parts = torch.tensor_split(order, BINS)
    gaps = [abs(float(confidence[k].mean()) - _share(right[k])) * len(k) for k in parts if len(k)]
    return sum(gaps) / len(order)


def _cases(recogniser: Recogniser, patterns: Patterns, progress: Progress) -> list[_Case]:
    values = inputs(patterns.g, patterns.conditions)
    answers = recogniser.answers(values, patterns.conditions.neutron)
    rows = range(len(answers))
    labels = recogniser.weights.labels
    found = []
    for row in progress("evidence", rows, len(rows)):
        truth = labels.kinds[patterns.first.kind[row]]
        found.append(_case(recogniser, answers[row], patterns, row, truth))
    return found


def _case(recogniser: Recogniser, seen: Recognition, patterns: Patterns, row: int, truth: str) -> _Case:
    c = patterns.conditions
    inside = (c.r_first[row] - 1e-9 <= GRID) & (c.r_last[row] + 1e-9 >= GRID)
    data = Data(GRID[inside], patterns.g[row][inside], float(c.qmin[row]), float(c.qmax[row]))
    fitted = short_list(
        recogniser,
        seen,
        data,
        (R_FIRST, R_LAST),
        qdamp=float(c.qdamp[row]) if math.isfinite(c.qdamp[row]) else UNKNOWN_QDAMP,
        radiation="neutron" if c.neutron[row] else "xray",
    )
    energy = float(np.mean(data.g[data.r >= R_FIRST] ** 2))
    points = data.independent_points((R_FIRST, R_LAST))
    noise = min(1.0, float(patterns.noise[row]) ** 2 / energy)
    evidence = evidence_of(seen, fitted, points, noise, expansion=None)
    return _Case(evidence, truth, MEASURED_MISFITS[row % len(MEASURED_MISFITS)])


def fitted_weights(cases: Sequence[_Case]) -> EvidenceWeights:
    """Those that give the truth the largest probability (maximum likelihood)."""

    def weights(x: Floats) -> EvidenceWeights:
        return EvidenceWeights(misfit=math.exp(x[0]), none=float(x[1]))

    def loss(x: Floats) -> float:
        held = weights(x)
        return -sum(math.log(max(_of_truth(case, held), 1e-4)) for case in cases) / len(cases)

    start = np.array([math.log(0.1), 0.0])
    # Steps of half a unit: the default ones from zero are too small to find anything.
    simplex = np.vstack([start, start + 0.5 * np.eye(2)])
    options = {"maxiter": 300, "xatol": 1e-2, "fatol": 1e-4, "initial_simplex": simplex}
    found = minimize(loss, start, method="Nelder-Mead", options=options)
    return weights(found.x)


def _of_truth(case: _Case, weights: EvidenceWeights) -> float:
    p = posterior(case.measured, weights)
    if case.truth == NONE:
        return float(p[-1])
    kinds = case.evidence.kinds
    return float(sum(value for value, kind in zip(p[:-1], kinds, strict=True) if kind == case.truth))


def _worth(cases: Sequence[_Case], weights: EvidenceWeights) -> dict[str, float]:
    """Accuracy and calibration of the posterior over types."""
    first, third, confidence, inside = [], [], [], []
    for case in cases:
        p = posterior(case.measured, weights)
        by_kind: dict[str, float] = {NONE: float(p[-1])}
        for value, kind in zip(p[:-1], case.evidence.kinds, strict=True):
            by_kind[kind] = by_kind.get(kind, 0.0) + float(value)
        ranked = sorted(by_kind, key=lambda kind: -by_kind[kind])
        first.append(ranked[0] == case.truth)
        third.append(case.truth in ranked[:3])
        confidence.append(by_kind[ranked[0]])
        inside.append(case.truth != NONE)
    right, known = torch.tensor(first), torch.tensor(inside)
    return {
        "top1": _share(right[known]),
        "top3": _share(torch.tensor(third)[known]),
        "ece": calibration_error(torch.tensor(confidence, dtype=torch.float64), right),
        "none_found": _share(right[~known]),
    }
