"""The agent's gate before an order, the stock of reagents, the budget, and claims on devices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from solvus.agent import claims as claims_module
from solvus.agent.campaign import Campaign
from solvus.agent.claims import LEASE, Claims, DevicesHeld
from solvus.agent.commandline.status_waits import read_waits
from solvus.agent.decide import Confirm, Exhausted, Experiment, Plan, Wait, next_step
from solvus.agent.gates import device_refusal, recipe_refusal
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.verify import verify
from solvus.agent.planner.search_space import Recipe
from solvus.agent.states import ExperimentState as E
from solvus.agent.stock import Reagent, left, shortage
from solvus.drivers.messages import Capability, ParameterSpec
from tests.agent.ledger_builder import BEST, FOUND, build
from tests.agent.ledger_builder import campaign as builder_campaign

ROBOT = Capability(
    action="synthesise",
    parameters=tuple(
        ParameterSpec(name=name, kind="continuous", unit=unit, lower=0.0, upper=300.0)
        for name, unit in (
            ("temperature", "degC"),
            ("pH", ""),
            ("reductant_to_gold", "mol/mol"),
            ("reaction_time", "min"),
        )
    ),
)


def campaign(**changes: object) -> Campaign:
    return Campaign.model_validate(builder_campaign().model_dump(mode="json") | changes)


def test_combinations_and_steps_of_the_campaign_are_kept() -> None:
    limited = campaign(
        limits={
            "max_step": {"temperature": {"value": 20, "unit": "degC"}},
            "combinations": [
                {"name": "heat", "terms": {"temperature": 1, "reaction_time": 0.1}, "at_most": 90},
            ],
        }
    )
    before = {"robot": BEST}
    assert recipe_refusal(BEST, limited, {"robot": ROBOT}, before) is None
    hot = BEST | {"temperature": 90.0}
    assert recipe_refusal(hot, limited, {"robot": ROBOT}, {}) == (
        "heat: temperature + 0.1 reaction_time is 96.2, more than 90"
    )
    cold = recipe_refusal(BEST | {"temperature": 50.0}, limited, {"robot": ROBOT}, before)
    assert cold == "temperature: 50 degC is 21.5 away from the 71.5 before, more than 20 in one step"
    assert recipe_refusal(BEST | {"temperature": 50.0}, limited, {"robot": ROBOT}, {"robot": None}) is None


def test_one_device_that_may_is_enough_and_its_own_limits_count() -> None:
    narrow = ROBOT.model_copy(
        update={
            "parameters": (ROBOT.parameters[0].model_copy(update={"max_step": 5.0}), *ROBOT.parameters[1:])
        }
    )
    both = {"robot": narrow, "robot-two": ROBOT}
    before: dict[str, Recipe | None] = {"robot": BEST | {"temperature": 25.0}, "robot-two": None}
    assert recipe_refusal(BEST, campaign(), both, before) is None
    refused = device_refusal(BEST, campaign(), "robot", narrow, before["robot"])
    assert refused is not None and refused.endswith("more than 5 in one step (limit of robot)")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            {"limits": {"max_step": {"temperature": {"value": 5, "unit": "K"}}}},
            "given in degC, its step in K",
        ),
        ({"limits": {"max_step": {"capping_agent": {"value": 5}}}}, "capping_agent is no number"),
        (
            {"limits": {"combinations": [{"name": "x", "terms": {"heat": 1}, "at_most": 1}]}},
            "limits.combinations: x: heat is no number of the search space",
        ),
        (
            {
                "limits": {
                    "combinations": [{"name": "x", "terms": {"temperature": 1}, "unit": "K", "at_most": 1}]
                }
            },
            "temperature is given in degC, the sum in K",
        ),
        (
            {"inventory": [{"name": "gold", "unit": "mL", "stock": 1, "when": {"pH": ["a"]}}]},
            "inventory: gold: when: pH is no categorical parameter",
        ),
    ],
)
def test_limits_that_do_not_fit_the_search_space_are_refused(part: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        campaign(**part)


# --- stock and budget ---

GOLD = Reagent(name="gold", unit="mL", stock=10.0, per_experiment=1.0, uses={"pH": 0.1}, reserve=1.0)


@given(st.lists(st.floats(3.0, 12.0), max_size=12))
def test_the_reserve_is_never_touched(values: list[float]) -> None:
    made: list[Recipe] = []
    for value in values:
        recipe: Recipe = {"pH": value}
        if shortage([GOLD], made, recipe) is None:
            made.append(recipe)
    assert left(GOLD, made) >= GOLD.reserve - 1e-6


def test_a_shortage_names_reagent_amounts_and_the_way_on() -> None:
    made: list[Recipe] = [{"pH": 10.0}] * 4
    words = shortage([GOLD], made, {"pH": 10.0})
    assert words is not None
    assert words.startswith("gold: 2 mL left, of which 1 are kept, 2 needed; refill, raise its stock")
    only_thiol = GOLD.model_copy(update={"when": {"capping_agent": ("thiol",)}})
    assert shortage([only_thiol], made, {"pH": 10.0, "capping_agent": "pvp"}) is None


def tried(number: int, state: E, **more: object) -> Experiment:
    return Experiment(number, state, BEST, **more)  # type: ignore[arg-type]


def test_what_was_rejected_costs_nothing_and_hours_count() -> None:
    three = campaign(budget={"experiments": 3, "hours": 5})
    rejected = [tried(n, E.REJECTED) for n in range(1, 9)]
    assert next_step(three, rejected) == Plan(1)
    spent = [*rejected, *(tried(n, E.FAILED, cause="chemistry") for n in (9, 10, 11))]
    assert next_step(three, spent) == Exhausted("the budget of 3 experiments is spent")
    assert next_step(three, [], 4.9) == Plan(1)
    assert next_step(three, [], 5.0) == Exhausted("the budget of 5 hours is spent")
    assert isinstance(next_step(three, [tried(1, E.MEASURING)], 6.0), Wait)


def test_an_experiment_that_a_person_is_asked_about_keeps_its_place() -> None:
    assert isinstance(next_step(campaign(), [tried(1, E.UNKNOWN, asks=True)]), Wait)
    assert next_step(campaign(), [tried(1, E.UNKNOWN)]) == Plan(1)


def test_a_confirmation_that_was_rejected_is_not_proposed_again() -> None:
    from tests.agent.test_decide import HIT

    hit = tried(1, E.SCORED, score=HIT)
    assert isinstance(next_step(campaign(), [hit]), Confirm)
    assert next_step(campaign(), [hit, tried(2, E.REJECTED, replicate_of=1, replicate=1)]) == Plan(1)


# --- claims ---


class Devices:
    """Devices that grant claims as :class:`solvus.drivers.claim.Holder` does, without a wire."""

    def __init__(self, **held: str) -> None:
        self.held = dict.fromkeys(("a", "b", "c"), "") | held
        self.mute: set[str] = set()

    async def claim(self, device: str, holder: str, lease: float) -> None:
        if device not in self.mute and self.held[device] in ("", holder):
            self.held[device] = holder if lease else ""

    def held_by(self, device: str) -> str | None:
        return self.held[device]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "SETTLED", 0.1)
    monkeypatch.setattr(claims_module, "PATIENCE", 0.3)


def utc() -> datetime:
    return datetime.now(UTC)


async def test_all_devices_are_claimed_or_none() -> None:
    wire = Devices(b="other-1.x")
    with pytest.raises(DevicesHeld, match="devices: b is held by campaign other-1; wait for its end"):
        await Claims(wire, ["c", "b", "a"], "gold-1.y", utc).take()
    assert wire.held == {"a": "", "b": "other-1.x", "c": ""}, "what was taken is given back"
    claims = Claims(wire, ["c", "a"], "gold-1.y", utc)
    await claims.take()
    assert wire.held == {"a": "gold-1.y", "b": "other-1.x", "c": "gold-1.y"}
    await claims.give_back()
    assert wire.held == {"a": "", "b": "other-1.x", "c": ""}


async def test_a_device_that_does_not_answer_a_claim_is_not_used() -> None:
    wire = Devices()
    wire.mute.add("b")
    with pytest.raises(DevicesHeld, match="b does not answer a claim"):
        await Claims(wire, ["a", "b"], "gold-1.y", utc).take()
    assert wire.held["a"] == ""


async def test_a_device_that_booted_anew_is_claimed_again_and_a_lost_one_is_named() -> None:
    now = utc()
    wire = Devices()
    claims = Claims(wire, ["a", "b"], "gold-1.y", lambda: now)
    await claims.take()
    wire.held["a"] = ""
    await claims.renew()
    assert wire.held["a"] == "", "not before it is time"
    now += timedelta(seconds=LEASE / 2)
    await claims.renew()
    assert wire.held["a"] == "gold-1.y" and claims.lost() == {}
    wire.held["b"] = "other-1.x"
    assert claims.lost() == {"b": "other-1"}


# --- ledgers of before ---


async def test_a_ledger_of_before_is_read_and_verified(tmp_path: Path) -> None:
    """As a Solvus left it that knew of no requests: their tables are missing, and nothing waits."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    campaign_id, _ = await build(url, FOUND)
    writing = await Ledger.open(url)
    async with writing.engine.begin() as connection:
        for table in ("request", "answer", "question", "hold", "early_signal"):
            await connection.execute(text(f"DROP TABLE {table}"))
        await connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    await writing.close()
    old = await Ledger.open(url, write=False)
    assert (await verify(old)).problems == ()
    waits = await read_waits(old, campaign_id)
    assert waits.count == 0 and waits.unanswered == 0
    await old.close()
    migrated = await Ledger.open(url)
    assert (await verify(migrated)).problems == ()
    await migrated.close()
