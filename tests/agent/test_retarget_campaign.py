"""``--resume`` with another target in the campaign file: taken, refused, and what the ledger then says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from solvus.agent.bench import Bench
from solvus.agent.campaign import Target
from solvus.agent.campaign_record import read_campaign, read_target
from solvus.agent.earlier import earlier_campaigns
from solvus.agent.jobs import ResolvedTarget
from solvus.agent.ledger.ledger import Ledger
from solvus.agent.ledger.verify import verify
from solvus.agent.lessons import Lessons
from solvus.agent.plan_request import Ground, useful
from solvus.agent.planner.search_space import Continuous, SearchSpace
from solvus.agent.retarget import scored_anew
from solvus.agent.scoring import Bound, Goal, TargetDescriptors
from solvus.agent.session import check_ground, interrupted, resume
from solvus.drivers.broker_address import BrokerAddress
from solvus.drivers.yaml_file import ConfigurationError
from tests.agent.ledger_builder import BOND, LABORATORY, build, campaign, pattern_of, target

NAME = "gold-decahedron-1"
BENCH = Bench(LABORATORY, BrokerAddress(), ("robot",), ("diffractometer",))
OTHER = campaign().model_copy(update={"target": Target(structure="Au icosahedron-561")})


def other(**goals: Goal) -> ResolvedTarget:
    """Particles of half the size."""
    size = {"diameter": Goal(value=17.0, tolerance=1.0)}
    descriptors = TargetDescriptors(goals=size | goals, family="decahedral")
    return ResolvedTarget(
        title="half the size", elements=("Au",), descriptors=descriptors, pattern=pattern_of(17.0, 0, 0.0)
    )


@pytest.fixture
async def stopped(tmp_path: Path) -> AsyncIterator[Ledger]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    await build(url, ("miss", "no-product", "hit", "untrusted"), end="stopped")
    ledger = await Ledger.open(url)
    yield ledger
    await ledger.close()


async def test_another_target_counts_every_experiment_anew(stopped: Ledger) -> None:
    assert not await check_ground(stopped, NAME, BENCH, campaign(), target())
    assert await interrupted(stopped, OTHER) == NAME
    assert await check_ground(stopped, NAME, BENCH, OTHER, other())
    before = await read_campaign(stopped, NAME)
    retarget = await scored_anew(stopped, NAME, OTHER, other())
    assert set(retarget.scores) == {1, 3, 4} and not retarget.scores[4].trusted
    await resume(stopped, NAME, OTHER, {}, retarget)
    after = await read_campaign(stopped, NAME)
    assert before.experiments[2].experiment.hit and not after.experiments[2].experiment.hit
    assert after.target == "Au icosahedron-561" and after.state == "running"
    assert (await read_target(stopped, NAME)).pattern == other().pattern
    told = [e.kind for e in await stopped.events(NAME)]
    assert told[-5:] == ["campaign-resumed", "campaign-retargeted", *["experiment-scored"] * 3]
    assert (await verify(stopped)).problems == ()
    # It goes on as the campaign for the new target, and may come back to the old one.
    assert not await check_ground(stopped, NAME, BENCH, OTHER, other())
    assert await check_ground(stopped, NAME, BENCH, campaign(), target())


async def test_what_cannot_be_aimed_at_leaves_the_campaign_as_it_is(stopped: Ledger) -> None:
    head = stopped.head
    with pytest.raises(ConfigurationError, match="target's file has changed since the campaign began"):
        await check_ground(stopped, NAME, BENCH, campaign(), other())
    silver = other().model_copy(update={"elements": ("Ag",)})
    with pytest.raises(ConfigurationError, match="holds Ag, the experiments so far were identified among Au"):
        await check_ground(stopped, NAME, BENCH, OTHER, silver)
    lacking = other(strain=Goal(value=BOND, tolerance=1.0))
    with pytest.raises(
        ConfigurationError, match="experiment 1 cannot be scored against the new target: goals: strain"
    ):
        await scored_anew(stopped, NAME, OTHER, lacking)
    wider = OTHER.model_copy(update={"seed": 9})
    with pytest.raises(ConfigurationError, match="resume: seed differ from the interrupted campaign"):
        await interrupted(stopped, wider)
    assert stopped.head == head


async def test_bounds_may_be_added(stopped: Ledger) -> None:
    """The target stays; a purity is asked for as well."""
    bounds = {"fraction:decahedral": Bound(at_least=0.999)}
    stricter = campaign().model_copy(update={"bounds": bounds})
    wanted = target().descriptors
    assert wanted is not None
    resolved = target().model_copy(update={"descriptors": wanted.model_copy(update={"bounds": bounds})})
    assert await check_ground(stopped, NAME, BENCH, stricter, resolved)
    assert not (await scored_anew(stopped, NAME, stricter, resolved)).scores[3].hit


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gold-2", "earlier: gold-2 is no other campaign of this ledger; it has gold-decahedron-1"),
        (NAME, "earlier: no experiment of gold-decahedron-1 fits this search space and target"),
    ],
)
async def test_what_is_no_prior_knowledge_is_refused(stopped: Ledger, name: str, sentence: str) -> None:
    elsewhere = SearchSpace(parameters=(Continuous(name="pressure", lower=0.0, upper=1.0),))
    wanted = campaign().model_copy(update={"earlier": (name,), "search_space": elsewhere})
    with pytest.raises(ConfigurationError, match=sentence):
        await earlier_campaigns(stopped, "next-1", Ground(wanted, target().descriptors))


async def test_an_earlier_campaign_comes_with_its_patterns(stopped: Ledger) -> None:
    lessons = Lessons(target().pattern, (1.6, 20.0))
    ground = Ground(campaign().model_copy(update={"earlier": (NAME,)}), target().descriptors, lessons)
    [earlier] = await earlier_campaigns(stopped, "next-1", ground)
    found = useful(ground, earlier)
    assert [o.outcome for o in found] == ["ok", "failed_chemistry", "ok", "untrusted"]
    assert found[0].misfit is not None and found[2].misfit is not None and found[2].misfit < found[0].misfit
