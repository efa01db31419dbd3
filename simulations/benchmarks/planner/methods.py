"""Planners side by side: ours, and thin adapters for the programs in use.

Peers see recipes and the misfit R_w, to be made small; all start from the same initial designs. They run with their own
defaults. Optuna, Ax and BayBE come with ``pip install 'solvus[bench]'``; a missing one is left out with a sentence.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from solvus.agent.planner.acquisition import balanced, makeable
from solvus.agent.planner.known import encoded, readings_of
from solvus.agent.planner.learning import known_of, surrogate_of
from solvus.agent.planner.observations import Observation, Proposal
from solvus.agent.planner.parameters import Categorical, Continuous, Integer, Mixture, Recipe
from solvus.agent.planner.placed import goals_at, modes_of_place, needed_beside
from solvus.agent.planner.request import PlanRequest
from solvus.agent.planner.search_space import SearchSpace
from solvus.agent.planner.settings import PlannerSettings
from solvus.agent.planner.suggest import suggest
from solvus.models.latent.posterior import LatentPosterior
from solvus.simulations.benchmarks.planner.worlds import GoldLikeWorld, PlannerWorld, Shown


class Method(Protocol):
    """A planner in the benchmark."""

    def ask(self, pending: Sequence[Recipe]) -> Recipe:
        """The next recipe, with these under way."""
        ...

    def tell(self, recipe: Recipe, shown: Shown, experiment: int) -> None: ...


class MethodMissing(RuntimeError):  # noqa: N818 -- a state of affairs, told in one sentence
    """A program that is not installed, or a planner that a world does not suit."""


class Solvus:
    """Ours. ``level`` other than ``auto`` is for ablations."""

    def __init__(self, world: PlannerWorld, seed: int, level: str = "auto") -> None:
        self._world, self._seed = world, seed
        self._target, self._curve = world.target(), world.target_curve()
        self._settings = PlannerSettings.model_validate({"initial": world.initial, "level": level})
        self.observations: list[Observation] = []
        self.last: Proposal | None = None
        self.ahead: list[tuple[str, float]] = []
        self._proposed = world.initial
        self._asked: list[tuple[Recipe, PlanRequest]] = []

    def ask(self, pending: Sequence[Recipe]) -> Recipe:
        request = PlanRequest(
            space=self._world.space,
            target=self._target,
            observations=tuple(self.observations),
            pending=tuple(pending),
            seed=self._seed,
            proposed=self._proposed,
            settings=self._settings,
            target_curve=self._curve,
        )
        [self.last] = suggest(request)
        self._proposed += 1
        if self.last.source == "surrogate" and self.last.level == "descriptors":
            self._asked.append((self.last.recipe, request))
        return self.last.recipe

    def tell(self, recipe: Recipe, shown: Shown, experiment: int) -> None:
        observation = self._observed(recipe, shown, experiment)
        self.observations.append(observation)
        asked = next((i for i, (proposed, _) in enumerate(self._asked) if proposed == recipe), None)
        if asked is not None:
            self.ahead += _ahead_scores(self._asked.pop(asked)[1], observation)

    def _observed(self, recipe: Recipe, shown: Shown, experiment: int) -> Observation:
        return self._world.observe(recipe, shown, experiment)


def _ahead_scores(request: PlanRequest, came: Observation) -> list[tuple[str, float]]:
    """By output, the z-score of what came against what the surrogate expected when it was asked; nothing where several
    readings are possible. Fits the surrogate anew, outside the time of an answer: a proposal keeps no model."""
    step, _, _ = surrogate_of(known_of(request))
    if step is None or came.outcome != "ok":
        return []
    outputs = step.fitted.table.outputs
    readings = readings_of(came, outputs)
    if len(readings) > 1:
        return []
    values, variances = readings[0].values[None], readings[0].variances[None]
    scores = step.fitted.model.ahead_scores(encoded(request.space, [came.recipe]), values, variances)
    return [(output.name, float(z)) for output, z in zip(outputs, scores[:, 0], strict=True)]


class SolvusLatent(Solvus):
    """Ours, in a campaign with ``descriptors: latent``: samples and target by their places in the latent space."""

    def __init__(self, world: PlannerWorld, seed: int) -> None:
        from solvus.models.latent.weights import shipped

        super().__init__(world, seed)
        if not isinstance(world, GoldLikeWorld):
            raise MethodMissing(f"solvus-latent: {world.name} does not make particles of one known metal")
        self._gold, self._weights = world, shipped()
        self._implied = self._target
        wanted = self._placed(np.array(world.target_pattern().y))
        assert wanted is not None  # noqa: S101 -- the target is a metal particle
        self._target = goals_at(wanted, self._implied, {})

    def _placed(self, curve: np.ndarray[Any, np.dtype[np.float64]]) -> LatentPosterior | None:
        from solvus.models.latent.placing import placed_candidates

        return placed_candidates(self._weights, self._gold.identified(curve).candidates)

    def _observed(self, recipe: Recipe, shown: Shown, experiment: int) -> Observation:
        observation = super()._observed(recipe, shown, experiment)
        if observation.outcome == "ok" and shown.curve is not None:
            place = self._placed(shown.curve)
            beside = needed_beside(self._target)
            modes = () if place is None else modes_of_place(place, observation.descriptors, beside)
            changes: dict[str, Any] = {
                "modes": modes,
                "descriptors": {},
                "outcome": "ok" if modes else "untrusted",
            }
            observation = observation.model_copy(update=changes)
        return observation


class Sobol:
    """Even filling, going on where the initial design stopped."""

    def __init__(self, world: PlannerWorld, seed: int) -> None:
        self._space, self._seed, self._count = world.space, seed, world.initial

    def ask(self, pending: Sequence[Recipe]) -> Recipe:
        self._count += 1
        return design(self._space, self._count, self._seed)[-1]

    def tell(self, recipe: Recipe, shown: Shown, experiment: int) -> None:
        pass


def design(space: SearchSpace, count: int, seed: int) -> list[Recipe]:
    """The first points of a scrambled Sobol sequence: the initial design of every method."""
    engine = torch.quasirandom.SobolEngine(space.dimensions, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    found: list[Recipe] = []
    while len(found) < count:
        recipe = space.draw(engine.draw(1, dtype=torch.float64)[0].numpy())
        if space.refusal(recipe) is None:
            found.append(recipe)
    return found


class LogEI:
    """BoTorch's recommended scalar planner: ``SingleTaskGP`` on the misfit with choices one-hot, and log expected
    improvement, with what is under way conditioned on."""

    def __init__(self, world: PlannerWorld, seed: int) -> None:
        self._space, self._seed, self._asked = world.space, seed, 0
        self._x: list[Any] = []
        self._y: list[float] = []

    def tell(self, recipe: Recipe, shown: Shown, experiment: int) -> None:
        self._x.append(self._space.encode(recipe))
        self._y.append(-shown.misfit)

    def _hot(self, A: torch.Tensor) -> torch.Tensor:
        parts = [A[..., self._space.ordered]]
        for i in self._space.categorical:
            parameter = self._space.coordinates[i].parameter
            assert isinstance(parameter, Categorical)  # noqa: S101 -- by its position
            parts.append(torch.nn.functional.one_hot(A[..., i].long(), len(parameter.choices)).to(A))
        return torch.cat(parts, -1)

    def ask(self, pending: Sequence[Recipe]) -> Recipe:
        from botorch.acquisition.analytic import LogExpectedImprovement
        from botorch.acquisition.logei import qLogExpectedImprovement
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from botorch.models.transforms import Standardize
        from botorch.sampling.normal import SobolQMCNormalSampler
        from gpytorch.mlls import ExactMarginalLogLikelihood

        torch.manual_seed(self._seed * 1000 + self._asked)
        self._asked += 1
        X = torch.as_tensor(np.array(self._x))
        y = torch.tensor(self._y, dtype=torch.float64)[:, None]
        model = SingleTaskGP(self._hot(X), y, outcome_transform=Standardize(1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        acquisition: Any
        if pending:
            held = self._hot(torch.as_tensor(np.array([self._space.encode(r) for r in pending])))
            sampler = SobolQMCNormalSampler(torch.Size([128]), seed=self._seed)
            acquisition = qLogExpectedImprovement(model, float(y.max()), sampler=sampler, X_pending=held)
        else:
            acquisition = LogExpectedImprovement(model, float(y.max()))
        return self._best(acquisition)

    def _best(self, acquisition: Any) -> Recipe:
        """By ``optimize_acqf`` over the ordered parameters for every combination of choices."""
        from itertools import product

        from botorch.optim.optimize import optimize_acqf

        space = self._space
        counts = [
            range(len(c.parameter.choices)) for c in space.coordinates if isinstance(c.parameter, Categorical)
        ]
        k = len(space.ordered)
        equalities = []
        for mixture, places in space.mixtures:
            columns = torch.tensor([space.ordered.index(i) for i in places])
            widths = torch.as_tensor(mixture.uppers - mixture.lowers)
            equalities.append((columns, widths, mixture.total - float(mixture.lowers.sum())))
        found = []
        for codes in product(*counts):
            hot = [
                torch.nn.functional.one_hot(torch.tensor(code), len(c)).double()
                for code, c in zip(codes, counts, strict=True)
            ]
            fixed = torch.cat(hot) if hot else torch.zeros(0, dtype=torch.float64)

            def with_choices(A: torch.Tensor, fixed: torch.Tensor = fixed) -> Any:
                return acquisition(torch.cat((A, fixed.expand(*A.shape[:-1], -1)), -1))

            best, value = optimize_acqf(
                with_choices,  # type: ignore[arg-type]
                bounds=torch.stack((torch.zeros(k), torch.ones(k))).double(),
                q=1,
                num_restarts=5,
                raw_samples=256,
                equality_constraints=equalities or None,
            )
            vector = torch.zeros(1, space.dimensions, dtype=torch.float64)
            assert value is not None  # noqa: S101 -- only several candidates at once have none
            vector[0, space.ordered] = best[0]
            for i, code in zip(space.categorical, codes, strict=True):
                vector[0, i] = code
            found.append((float(value), vector))
        vector = max(found, key=lambda pair: pair[0])[1]
        return space.decode(makeable(space, balanced(space, vector).numpy())[0])


class OptunaGP:
    """Optuna's GPSampler. A mixture is drawn as its space asks for: one number of 0 to 1 for each component."""

    def __init__(self, world: PlannerWorld, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._optuna, self._space = optuna, world.space
        sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=world.initial)
        self._study = optuna.create_study(sampler=sampler, direction="minimize")
        self._distributions = {c.name: self._distribution(c.parameter) for c in world.space.coordinates}
        self._asked: list[tuple[Recipe, Any]] = []

    def _distribution(self, parameter: Any) -> Any:
        d = self._optuna.distributions
        if isinstance(parameter, Categorical):
            return d.CategoricalDistribution(parameter.choices)
        if isinstance(parameter, Integer):
            return d.IntDistribution(parameter.lower, parameter.upper)
        if isinstance(parameter, Continuous):
            return d.FloatDistribution(parameter.lower, parameter.upper, log=parameter.scale == "log")
        return d.FloatDistribution(0.0, 1.0)

    def ask(self, pending: Sequence[Recipe]) -> Recipe:
        trial = self._study.ask(self._distributions)
        recipe = self._recipe(trial.params)
        self._asked.append((recipe, trial))
        return recipe

    def _recipe(self, params: dict[str, Any]) -> Recipe:
        recipe: Recipe = {}
        for parameter in self._space.parameters:
            if isinstance(parameter, Mixture):
                recipe |= parameter.draw(np.array([params[c.name] for c in parameter.components]))
            else:
                recipe[parameter.name] = params[parameter.name]
        return self._space.snap(recipe)

    def tell(self, recipe: Recipe, shown: Shown, experiment: int) -> None:
        for k, (asked, trial) in enumerate(self._asked):
            if asked == recipe:
                self._study.tell(trial, shown.misfit)
                del self._asked[k]
                return
        trial = self._optuna.trial.create_trial(
            params=self._params(recipe), distributions=self._distributions, value=shown.misfit
        )
        self._study.add_trial(trial)

    def _params(self, recipe: Recipe) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for parameter in self._space.parameters:
            if isinstance(parameter, Mixture):
                # The inverse of the draw up to a common factor, which it divides out.
                above = np.array([float(recipe[c.name]) for c in parameter.components]) - parameter.lowers
                share = np.maximum(above / above.sum(), 1e-9)
                numbers = np.exp(-share)
                params |= {c.name: float(n) for c, n in zip(parameter.components, numbers, strict=True)}
            elif isinstance(parameter, Integer):
                params[parameter.name] = int(float(recipe[parameter.name]))
            else:
                params[parameter.name] = recipe[parameter.name]
        return params


def ax_parameter(parameter: Categorical | Integer | Continuous) -> Any:
    """As Ax is told of it."""
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    if isinstance(parameter, Categorical):
        return ChoiceParameterConfig(
            name=parameter.name, parameter_type="str", values=list(parameter.choices), is_ordered=False
        )
    bounds = (parameter.lower, parameter.upper)
    if isinstance(parameter, Integer):
        return RangeParameterConfig(name=parameter.name, parameter_type="int", bounds=bounds)
    return RangeParameterConfig(
        name=parameter.name, parameter_type="float", bounds=bounds, scaling=parameter.scale
    )


class Ax:
    """Ax with its defaults, after the initial design. Of a mixture the last component is what the others leave."""

    def __init__(self, world: PlannerWorld, seed: int) -> None:
        from ax.api.client import Client
        from ax.api.configs import RangeParameterConfig

        logging.getLogger("ax").setLevel(logging.ERROR)
        self._space, self._client = world.space, Client(random_seed=seed)
        self._asked: list[tuple[Recipe, int]] = []
        parameters: list[Any] = []
        constraints: list[str] = []
        for p in world.space.parameters:
            if isinstance(p, Mixture):
                names = [c.name for c in p.components[:-1]]
                uppers, last = p.uppers.tolist(), p.components[-1]
                for c, upper in zip(p.components[:-1], uppers, strict=False):
                    parameters.append(
                        RangeParameterConfig(name=c.name, parameter_type="float", bounds=(c.lower, upper))
                    )
                constraints.append(f"{' + '.join(names)} <= {p.total - last.lower}")
                if uppers[-1] < p.total - sum(p.lowers[:-1]) - 1e-9:
                    constraints.append(f"{' + '.join(names)} >= {p.total - uppers[-1]}")
            elif isinstance(p, Categorical | Integer | Continuous):
                parameters.append(ax_parameter(p))
        self._client.configure_experiment(parameters=parameters, parameter_constraints=constraints)
        self._client.configure_optimization(objective="-misfit")
        self._client.configure_generation_strategy(
            initialization_budget=0, initialize_with_center=False, initialization_random_seed=seed
        )

    def ask(self, pending: Sequence[Recipe]) -> Recipe:
        [(index, params)] = self._client.get_next_trials(max_trials=1).items()
        recipe: Recipe = {}
        for p in self._space.parameters:
            if isinstance(p, Mixture):
                amounts = [float(params[c.name]) for c in p.components[:-1]]
                amounts.append(p.total - sum(amounts))
                recipe |= p.values((np.array(amounts) - p.lowers) / (p.uppers - p.lowers))
            else:
                recipe[p.name] = params[p.name]
        recipe = self._space.snap(recipe)
        self._asked.append((recipe, index))
        return recipe

    def tell(self, recipe: Recipe, shown: Shown, experiment: int) -> None:
        for k, (asked, index) in enumerate(self._asked):
            if asked == recipe:
                self._client.complete_trial(trial_index=index, raw_data={"misfit": shown.misfit})
                del self._asked[k]
                return
        params: dict[str, Any] = {}
        for p in self._space.parameters:
            if isinstance(p, Mixture):
                params |= {c.name: recipe[c.name] for c in p.components[:-1]}
            elif isinstance(p, Integer):
                params[p.name] = int(float(recipe[p.name]))
            else:
                params[p.name] = recipe[p.name]
        index = self._client.attach_trial(parameters=params)
        self._client.complete_trial(trial_index=index, raw_data={"misfit": shown.misfit})


class BayBE:
    """BayBE's default recommender on its hybrid space."""

    def __init__(self, world: PlannerWorld, seed: int) -> None:
        import pandas as pd
        from baybe import Campaign
        from baybe.constraints import ContinuousLinearConstraint
        from baybe.parameters import (
            CategoricalParameter,
            NumericalContinuousParameter,
            NumericalDiscreteParameter,
        )
        from baybe.searchspace import SearchSpace as Space
        from baybe.targets import NumericalTarget

        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 -- what BayBE draws from
        self._pandas, self._space = pd, world.space
        parameters: list[Any] = []
        constraints = []
        for p in world.space.parameters:
            if isinstance(p, Mixture):
                for c, upper in zip(p.components, p.uppers.tolist(), strict=True):
                    parameters.append(NumericalContinuousParameter(c.name, bounds=(c.lower, upper)))
                names = [c.name for c in p.components]
                constraints.append(ContinuousLinearConstraint(names, "=", [1.0] * len(names), p.total))
            elif isinstance(p, Categorical):
                parameters.append(CategoricalParameter(p.name, list(p.choices)))
            elif isinstance(p, Integer):
                parameters.append(NumericalDiscreteParameter(p.name, list(range(p.lower, p.upper + 1))))
            elif isinstance(p, Continuous):
                bounds = (np.log(p.lower), np.log(p.upper)) if p.scale == "log" else (p.lower, p.upper)
                parameters.append(NumericalContinuousParameter(p.name, bounds=bounds))
        space = Space.from_product(parameters, constraints or None)
        self._campaign = Campaign(space, NumericalTarget(name="misfit", minimize=True).to_objective())

    def _row(self, recipe: Recipe) -> dict[str, Any]:
        logs = {p.name for p in self._space.parameters if isinstance(p, Continuous) and p.scale == "log"}
        return {n: float(np.log(v)) if n in logs else v for n, v in recipe.items()}

    def ask(self, pending: Sequence[Recipe]) -> Recipe:
        held = self._pandas.DataFrame([self._row(r) for r in pending]) if pending else None
        [row] = self._campaign.recommend(1, pending_experiments=held).to_dict("records")
        recipe: Recipe = {}
        for p in self._space.parameters:
            if isinstance(p, Mixture):
                amounts = np.array([float(row[c.name]) for c in p.components])
                recipe |= p.values((amounts - p.lowers) / (p.uppers - p.lowers))
            elif isinstance(p, Continuous) and p.scale == "log":
                recipe[p.name] = min(max(float(np.exp(row[p.name])), p.lower), p.upper)
            else:
                recipe[p.name] = row[p.name] if isinstance(p, Categorical) else float(row[p.name])
        return self._space.snap(recipe)

    def tell(self, recipe: Recipe, shown: Shown, experiment: int) -> None:
        row = self._row(recipe) | {"misfit": shown.misfit}
        self._campaign.add_measurements(self._pandas.DataFrame([row]))


def _level(level: str) -> Callable[[PlannerWorld, int], Method]:
    return lambda world, seed: Solvus(world, seed, level)


METHODS: dict[str, tuple[Callable[[PlannerWorld, int], Method], str | None]] = {
    "solvus": (Solvus, None),
    "log-ei": (LogEI, None),
    "sobol": (Sobol, None),
    "optuna": (OptunaGP, "optuna"),
    "ax": (Ax, "ax"),
    "baybe": (BayBE, "baybe"),
    "solvus-latent": (SolvusLatent, None),
    "solvus-descriptors": (_level("descriptors"), None),
    "solvus-patterns": (_level("patterns"), None),
    "solvus-misfit": (_level("misfit"), None),
}
"""How each is made, and the package it needs besides ours."""


def missing(name: str) -> str | None:
    """One sentence when the program behind a method is not installed."""
    package = METHODS[name][1]
    if package is None or importlib.util.find_spec(package) is not None:
        return None
    return f"{name}: {package} is not installed; pip install 'solvus[bench]'"


def method_of(name: str, world: PlannerWorld, seed: int) -> Method:
    """Make a planner. Raises MethodMissing when its program is not installed."""
    reason = missing(name)
    if reason is not None:
        raise MethodMissing(reason)
    return METHODS[name][0](world, seed)
