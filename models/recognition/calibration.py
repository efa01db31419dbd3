"""The numbers that turn what the network says into probabilities and sets that keep their promise.

All are fixed on patterns that training never saw (:mod:`solvus.models.recognition.training.calibrate`).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from solvus.models.recognition.evidence import EvidenceWeights


class Calibration(BaseModel):
    """Kept with the weights.

    Attributes
    ----------
    temperature : of the logits of structure types (Guo et al., ICML 2017).
    metals_scale, metals_shift : of the logits of metals (Platt).
    coverage : promised by the set of metals; metals_threshold : probability from which a metal is in it;
        nearness : cosine to the nearest entry that 99 of 100 of the patterns have for which the set is promised.
    strangeness : score of the network alone beyond which a pattern counts as unlike anything in the library.
    strange_misfit : weight of the misfit in the score that quick fits have part in; strangeness_fitted : its threshold.
    acceptance : share of patterns from the library that this lets pass.
    evidence : how misfit and network are weighed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: float = 1.0
    metals_scale: float = 1.0
    metals_shift: float = 0.0
    coverage: float = 0.95
    metals_threshold: float = 0.1
    nearness: float = 0.8
    strangeness: float = 0.0
    strange_misfit: float = 2.0
    strangeness_fitted: float = 0.0
    acceptance: float = 0.95
    evidence: EvidenceWeights = EvidenceWeights()
