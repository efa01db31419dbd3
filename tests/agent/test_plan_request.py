"""What a campaign tells its planner, and that all of it is found again in the ledger."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from solvus.agent import jobs
from solvus.agent.campaign import Campaign
from solvus.agent.ledger.explanations import explain
from solvus.agent.ledger.projections import LedgerEvent
from solvus.agent.lessons import Lessons, misfit_of
from solvus.agent.plan_request import EarlierRows, Ground, limits_now, plan_request, useful
from solvus.agent.planner.identified import ambiguous_modes
from solvus.agent.planner.limits import PlanLimits
from solvus.agent.planner.observations import Proposal
from solvus.agent.planner.search_space import Recipe
from solvus.agent.replay import Recorded, decisions, replayed
from solvus.agent.rules import enough
from solvus.agent.scoring import Bound, Goal, TargetDescriptors, score
from solvus.agent.target import goals_of, resolve_target
from solvus.drivers.combination import Combination
from solvus.drivers.messages import Capability, ParameterSpec
from solvus.models.identification import Candidate, Descriptor, Identification
from solvus.models.pattern import Conditions, Pattern
from tests.agent.test_replay import CAMPAIGN, TARGET, Events, identified

OTHER = TargetDescriptors(
    goals={"bond_length": Goal(value=2.82, tolerance=0.01)},
    bounds={"fraction:fcc": Bound(at_least=0.3)},
)
SPECS = (
    ParameterSpec(name="temperature", kind="continuous", lower=20, upper=90, max_step=25.0),
    ParameterSpec(name="ratio", kind="continuous", lower=0.1, upper=10),
    ParameterSpec(name="agent", kind="categorical", choices=("a", "b")),
)
CAPABILITY = Capability(
    action="synthesise",
    parameters=SPECS,
    combinations=(
        Combination(name="boiling", terms={"temperature": 1.0}, at_most=70.0, when={"agent": ("b",)}),
    ),
)


def pattern(place: float, amount: float = 1.0) -> Pattern:
    """A G(r) whose one peak tells where in the space of recipes it was made."""
    r = np.round(np.arange(1, 1101) * 0.02, 5)
    y = amount * np.exp(-((r - 4.0 - 10.0 * place) ** 2))
    return Pattern(x=r, y=np.round(y, 5), conditions=Conditions(qmin=0.8, qmax=20.0))


def campaign(**changes: Any) -> Campaign:
    return Campaign.model_validate(CAMPAIGN.model_dump(mode="json") | changes)


class Told(Events):
    """A campaign's events with the patterns beside them."""

    def __init__(
        self, config: Campaign, target: TargetDescriptors, earlier: tuple[EarlierRows, ...] = ()
    ) -> None:
        super().__init__()
        self.patterns = {p.sha256: p for p in (pattern(0.5), pattern(0.1))}
        self.config, self.before = config, {"robot": None}
        self.ground = Ground(config, target, Lessons(pattern(0.5), (1.6, 20.0)), earlier)

    def start(self, target: TargetDescriptors, wanted: Pattern, kind: str = "campaign-started") -> None:
        said = {"descriptors": target.model_dump(mode="json"), "pattern_of_target": wanted.sha256}
        config = {"name": "c", "config": self.config.model_dump(mode="json"), "lessons": True}
        self.append(kind, {"target": said} if kind == "campaign-retargeted" else config | {"target": said})

    def plan(self, count: int) -> list[Proposal]:
        rows = self.rows()
        limits = limits_now(self.config, {"robot": CAPABILITY}, self.before, rows)
        request = json.dumps(plan_request(self.ground, rows, count, limits))
        found = TypeAdapter(list[Proposal]).validate_json(jobs.suggest(request))
        for proposal in found:
            self.write(proposal, limits)
            limits = None if limits is None else limits.after([proposal.recipe])
        return found

    def write(self, proposal: Proposal, limits: PlanLimits | None) -> None:
        number = len(self.values) + 1
        body = {"number": number, "sample_id": "s", "recipe": proposal.recipe, "replicate_of": None}
        said = {} if limits is None else {"limits": limits.model_dump(mode="json")}
        self.append(
            "experiment-proposed",
            body | said | {"replicate": 0, "proposal": proposal.model_dump(mode="json")},
        )
        self.append("experiment-moved", {"number": number, "to": "approved"})

    def make(self, number: int) -> None:
        """Order, measure, identify and score one experiment."""
        recipe = json.loads(self.values[number]["recipe"])
        self.before["robot"] = recipe
        self.append("experiment-moved", {"number": number, "to": "synthesising"})
        measured = pattern(float(self.config.search_space.encode(recipe)[0]))
        self.patterns[measured.sha256] = measured
        assert self.ground.lessons is not None
        self.ground.lessons.take(measured)
        answer = self.identify(recipe, number)
        moved = {"number": number, "to": "measured", "pattern_sha256": measured.sha256}
        self.append("experiment-moved", moved)
        said = answer.model_dump(mode="json")
        self.append("experiment-identified", {"number": number, "identification": said})
        self.score(number, answer)

    def identify(self, recipe: Recipe, number: int) -> Identification:
        return identified(recipe, number)

    def score(self, number: int, answer: Identification) -> None:
        result = score(answer, self.ground.target)
        self.append("experiment-scored", {"number": number, "score": result.model_dump(mode="json")})

    def aim_at(self, target: TargetDescriptors, wanted: Pattern) -> None:
        """As ``--resume`` does with a changed target."""
        self.start(self.ground.target or target, wanted, "campaign-resumed")
        self.start(target, wanted, "campaign-retargeted")
        lessons = Lessons(wanted, (1.6, 20.0))
        lessons.take_all(self.patterns, set(self.patterns))
        self.ground = Ground(self.config, target, lessons, self.ground.earlier)
        for number, values in self.values.items():
            if values["state"] == "scored":
                self.score(number, Identification.model_validate_json(values["identification"]))


class Blind(Told):
    """Nothing in the library explains any pattern."""

    def identify(self, recipe: Recipe, number: int) -> Identification:
        return Identification(
            verdict="none", r_range=(1.6, 20.0), pattern_sha256="0" * 64, model_version="made up"
        )


@pytest.fixture(scope="module")
def first() -> Told:
    told = Told(campaign(limits={"max_step": {"temperature": {"value": 30}}}), TARGET)
    told.start(TARGET, pattern(0.5))
    for _ in range(3):
        told.plan(2)
        told.make(len(told.values) - 1)
        told.make(len(told.values))
    told.aim_at(OTHER, pattern(0.1))
    told.plan(1)
    told.make(7)
    told.plan(1)
    return told


def test_every_input_of_a_proposal_is_found_again(first: Told) -> None:
    """Curves and misfits, limits, a batch, and a new target in the middle."""
    made = decisions(first.events, Recorded(first.patterns))
    assert len(made) == 8 and all(d.request is not None for d in made)
    for decision in made:
        assert replayed(decision).verdict == "identical"
    before, after = made[5].request, made[7].request
    assert before is not None and after is not None and before.target == TARGET and after.target == OTHER
    old, new = before.observations[0], after.observations[0]
    assert old.descriptors == new.descriptors and old.curve == new.curve
    assert old.misfit != new.misfit
    assert before.limits is not None and before.limits.devices[0].steps == {"temperature": 25.0}
    for previous, decision in pairwise(made):
        step = float(decision.proposal.recipe["temperature"]) - float(previous.proposal.recipe["temperature"])
        assert abs(step) <= 25.0 + 1e-6


def test_all_of_it_can_be_read(first: Told) -> None:
    kinds = ("campaign-retargeted", "experiment-proposed")
    told = {
        e.kind: "\n".join(f"{label}: {text}" for label, text in explain(e))
        for e in first.events
        if e.kind in kinds
    }
    assert "bond_length 2.82 within 0.01" in told["campaign-retargeted"]
    assert "bounds: fraction:fcc at least 0.3" in told["campaign-retargeted"]
    assert (
        "step of temperature is" in told["experiment-proposed"]
        and "at most 25" in told["experiment-proposed"]
    )
    assert "stopping: the target is reached with probability" in told["experiment-proposed"]
    assert "bounds: kept with probability" in told["experiment-proposed"]


def test_a_campaign_of_any_parameters_can_be_read() -> None:
    parameters = [
        {"name": "pot", "kind": "mixture", "components": [{"name": "x"}, {"name": "y"}], "unit": "mL"},
        {"name": "level", "kind": "ordinal", "levels": ["low", "high"]},
        {"name": "solvent", "kind": "fixed", "value": "water"},
    ]
    told = Told(campaign(search_space={"parameters": parameters}), TARGET)
    told.append(
        "campaign-started", {"config": told.config.model_dump(mode="json"), "name": "c", "lessons": True}
    )
    lines = [text for _, text in explain(told.events[0])]
    assert {"x: 0 to 1 mL", "level: low, high", "solvent: fixed at water"} <= set(lines)


def test_an_earlier_campaign_is_prior_knowledge_and_found_again(first: Told) -> None:
    earlier = EarlierRows("first-1", tuple(first.rows()))
    config = campaign(earlier=["first-1"], planner={})
    second = Told(config, TARGET, (earlier,))
    assert second.ground.lessons is not None
    second.ground.lessons.take_all(first.patterns, set(first.patterns))
    second.events = []
    events = [LedgerEvent(e.seq - len(first.events), e.campaign, e.kind, e.at, e.body) for e in first.events]
    second.start(TARGET, pattern(0.5))
    for _ in range(4):
        second.plan(1)
        second.make(len(second.values))
    assert [d.proposal.source for d in decisions(second.events, Recorded())] == [*["sobol"] * 3, "surrogate"]
    recorded = Recorded(first.patterns | second.patterns, {"first-1": events})
    made = decisions(second.events, recorded)
    assert all(d.request is not None and len(d.request.earlier[0].observations) == 7 for d in made)
    assert [replayed(d).verdict for d in made] == ["identical"] * 4
    # Ignorant of them it would have been another request.
    assert decisions(second.events, Recorded(recorded.patterns))[-1].request is None


def test_only_what_fits_is_taken_from_an_earlier_campaign(first: Told) -> None:
    earlier = EarlierRows("first-1", tuple(first.rows()))
    narrow = CAMPAIGN.search_space.model_dump(mode="json")
    narrow["parameters"][0]["upper"] = 50.0
    cold = [r for r in earlier.rows if json.loads(r.recipe)["temperature"] <= 50.0 and r.score is not None]
    assert len(useful(Ground(campaign(search_space=narrow), TARGET), earlier)) == len(cold)
    size = TargetDescriptors(goals={"diameter": Goal(value=30.0, tolerance=1.0)})
    assert useful(Ground(CAMPAIGN, size), earlier) == []


def test_a_rule_of_stopping_ends_a_campaign_that_asks_for_it(first: Told) -> None:
    planner = {"initial": 14, "stop_improvement": 10.0}
    config = campaign(planner=planner, stop_when={"improvement_below_cost": True})
    told = Told(config, TARGET)
    told.start(TARGET, pattern(0.5))
    for _ in range(14):
        told.plan(1)
        told.make(len(told.values))
    rows = told.rows()
    asked = json.dumps(plan_request(told.ground, rows, 1))
    [proposal] = TypeAdapter(list[Proposal]).validate_json(jobs.suggest(asked))
    met = enough(config, proposal, [], None)
    assert met is not None and "gain" in met.reason and "the limit is 10" in met.reason
    assert enough(campaign(planner=planner), proposal, [], None) is None
    told.append("campaign-ended", {"state": "exhausted", "reason": met.reason, **met.record()})
    assert any(label == "not made" for label, _ in explain(told.events[-1]))
    last = decisions(told.events, Recorded(told.patterns))[-1]
    assert last.number == 15 and replayed(last).verdict == "identical"


def test_a_pattern_teaches_its_shape_and_not_its_amount() -> None:
    lessons = Lessons(pattern(0.5), (1.6, 20.0))
    same, other = pattern(0.5, amount=0.3), pattern(0.1)
    short = pattern(0.5).model_copy(update={"x": pattern(0.5).x[:600], "y": pattern(0.5).y[:600]})
    for shown in (same, other, short):
        lessons.take(shown)
    assert lessons.of(same.sha256).misfit == pytest.approx(0.0, abs=1e-3)
    assert lessons.of(other.sha256).misfit == pytest.approx(1.0, abs=1e-2)
    assert lessons.of(short.sha256).curve is None and lessons.of(None).misfit is None
    assert lessons.target_curve is not None
    assert np.allclose(lessons.of(same.sha256).curve, lessons.target_curve, atol=0.02)
    assert misfit_of(-np.ones(5), np.ones(5)) == 1.0


def ambiguous(share_sd: float, first: float = 0.55) -> Identification:
    parameters = {"diameter": 30.0, "bond_length": 2.88}
    candidates = (
        Candidate(
            structure="d",
            family="decahedral",
            elements=("Au",),
            probability=first,
            r_w=0.1,
            parameters=parameters,
        ),
        Candidate(
            structure="f",
            family="fcc",
            elements=("Au",),
            probability=1.0 - first,
            r_w=0.1,
            parameters={"diameter": 36.0, "bond_length": 2.86},
        ),
    )
    return Identification(
        verdict="identified",
        candidates=candidates,
        descriptors={
            "fraction:decahedral": Descriptor(mean=0.55, sd=share_sd),
            "fraction:fcc": Descriptor(mean=0.45, sd=share_sd),
            "diameter": Descriptor(mean=32.7, sd=3.0),
            "bond_length": Descriptor(mean=2.87, sd=0.01),
        },
        r_range=(1.6, 20.0),
        pattern_sha256="0" * 64,
        model_version="made up",
    )


def test_a_campaign_without_a_trusted_identification_finds_the_pattern() -> None:
    """The ladder in a campaign: curves and misfits lead to where the target's pattern is made."""
    told = Blind(campaign(planner={"initial": 9}), TARGET)
    told.start(TARGET, pattern(0.5))
    levels = []
    for number in range(1, 14):
        levels.append(told.plan(1)[0].level)
        told.make(number)
    assert set(levels[9:]) <= {"patterns", "misfit"}
    places = [CAMPAIGN.search_space.encode(json.loads(v["recipe"]))[0] for v in told.values.values()]
    assert min(abs(place - 0.5) for place in places[9:]) < 0.05
    last = decisions(told.events, Recorded(told.patterns))[-1]
    assert last.proposal.level in ("patterns", "misfit") and replayed(last).verdict == "identical"


def test_an_ambiguous_identification_is_several_readings_and_a_mixture_is_one() -> None:
    first, second = ambiguous_modes(ambiguous(0.3))
    assert (first.weight, second.weight) == pytest.approx((0.55, 0.45))
    assert first.descriptor("fraction:decahedral").mean == 1.0 and first.descriptor(
        "diameter"
    ).mean == pytest.approx(30.0)
    assert second.descriptor("fraction:fcc").mean == 1.0 and second.descriptor(
        "bond_length"
    ).mean == pytest.approx(2.86)
    assert ambiguous_modes(ambiguous(0.05)) == () and ambiguous_modes(ambiguous(0.3, 0.95)) == ()


def test_goals_bounds_and_exploration_are_resolved() -> None:
    request = jobs.ResolveRequest(
        target=None,
        goals={"fraction:icosahedral": Goal(value=0.0, tolerance=0.1, at_most=True)},
        elements=("Au",),
        r_range=(1.6, 20.0),
        conditions=Conditions(),
        rmax=40.0,
    )
    found = resolve_target(request)
    assert found.pattern is None and found.descriptors is not None
    assert set(found.descriptors.goals) == {"fraction:icosahedral"}
    bounds = {"fraction:fcc": Bound(at_least=0.5)}
    only = resolve_target(request.model_copy(update={"goals": {}, "bounds": bounds})).descriptors
    assert only is not None and only.goals == {} and only.bounds == bounds
    assert resolve_target(request.model_copy(update={"goals": {}})).descriptors is None
    wrong = request.model_copy(update={"bounds": {"purity": Bound(at_least=0.5)}})
    with pytest.raises(ValueError, match="bounds: purity is no descriptor of a sample; there are fraction:"):
        resolve_target(wrong)
    answer = identified({"temperature": 50.0, "ratio": 1.0, "agent": "a"}, 1)
    assert score(answer, None).trusted and score(answer, None).distance_mean is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"target": None}, "target: is missing, and planner.mode target needs one"),
        ({"target": None, "planner": {"mode": "explore"}}, "identification.elements: without a target"),
        ({"stop_when": {"improvement_below_cost": True}}, "needs planner.stop_improvement"),
        (
            {"stop_when": {"reached": True}, "planner": {"mode": "front"}},
            "nothing is reached in planner.mode front",
        ),
        ({"planner": {"cost": "hours + 1"}}, "planner.cost: hours is no parameter of the search space"),
        ({"earlier": ["a-1", "a-1"]}, "earlier: a campaign is there twice"),
        (
            {"goals": {"diameter": {"value": 3, "tolerance": 1, "at_least": True, "at_most": True}}},
            "contradict",
        ),
    ],
)
def test_what_cannot_be_sought_is_refused_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        campaign(**changes)


def test_combinations_and_steps_become_limits_of_the_planner() -> None:
    combination = {"name": "heat", "terms": {"temperature": 1.0, "ratio": 2.0}, "at_most": 90.0}
    config = campaign(limits={"combinations": [combination]})
    limits = limits_now(config, {"robot": CAPABILITY}, {"robot": {"temperature": 30.0}}, [])
    assert limits is not None
    heat, boiling = limits.devices[0].constraints
    assert heat.coefficients == {"temperature": 1.0, "ratio": 2.0} and heat.upper == 90.0
    assert boiling.when == {"agent": ("b",)} and limits.devices[0].before == {"temperature": 30.0}
    plain = CAPABILITY.model_copy(update={"combinations": (), "parameters": SPECS[1:]})
    assert limits_now(CAMPAIGN, {"robot": plain}, {}, []) is None


def test_stock_solutions_have_limits_too() -> None:
    stocks = [{"name": "gold"}, {"name": "water"}]
    space = CAMPAIGN.search_space.model_dump(mode="json")["parameters"]
    pot = {"name": "pot", "kind": "mixture", "components": stocks, "total": 10.0, "unit": "mL"}
    step = {"gold": {"value": 2.0, "unit": "mL"}}
    config = campaign(search_space={"parameters": [*space, pot]}, limits={"max_step": step})
    limits = limits_now(config, {"robot": CAPABILITY}, {"robot": {"gold": 1.0}}, [])
    assert limits is not None and limits.devices[0].steps == {"temperature": 25.0, "gold": 2.0}
    with pytest.raises(ValidationError, match="pot is no number of the search space"):
        campaign(search_space={"parameters": [*space, pot]}, limits={"max_step": {"pot": step["gold"]}})


def test_a_target_keeps_its_own_goals_beside_further_ones() -> None:
    found = goals_of(ambiguous(0.05), CAMPAIGN.target.tolerance) if CAMPAIGN.target else None
    assert found is not None and set(found.goals) == {"fraction:decahedral", "diameter", "bond_length"}
