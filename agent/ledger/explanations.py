"""One event in plain words with its numbers, as labelled lines: why this recipe, why this structure, what moved."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from solvus.agent.ledger.projections import LedgerEvent
from solvus.agent.planner.search_space import SearchSpace

Line = tuple[str, str]
"""Label and text; an empty label continues the one above."""


def explain(event: LedgerEvent) -> list[Line]:
    """The body of an event, line by line; kinds without a form of their own are listed as they are."""
    return list(_FORMS.get(event.kind, _plain)(event.body))


def _plain(body: dict[str, Any]) -> Iterator[Line]:
    for name, value in body.items():
        yield name, _words(value)


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _recipe(recipe: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_words(value)}" for name, value in recipe.items())


def _proposed(body: dict[str, Any]) -> Iterator[Line]:
    p = body["proposal"]
    yield "experiment", str(body["number"])
    if body["replicate_of"] is not None:
        yield "replicate", f"number {body['replicate']} of experiment {body['replicate_of']}"
    yield "recipe", _recipe(body["recipe"])
    yield "source", p["source"]
    yield "reason", p["explanation"]
    if p["fallback"]:
        yield "fall-back", p["fallback"]
    for i, (name, d) in enumerate(p["predicted"].items()):
        yield ("" if i else "predicted"), f"{name} {d['mean']:.4g} ± {d['sd']:.2g}"
    if p["predicted_distance"] is not None:
        d = p["predicted_distance"]
        yield "distance", f"{d['mean']:.3g} ± {d['sd']:.2g} tolerances from the target expected"
    yield "feasible", f"gives a product with probability {p['probability_feasible']:.3f}"
    if p["acquisition"] is not None:
        yield "acquisition", f"{p['acquisition']:.4g} (log of the expected improvement)"
    for i, a in enumerate(p["alternatives"]):
        yield ("" if i else "passed over"), f"{_recipe(a['recipe'])}"
        yield "", f"  acquisition {a['acquisition']:.4g}: {a['reason']}"
    if p["nearest"]:
        near = (f"{n['experiment']} (at {n['distance']:.2g})" for n in p["nearest"])
        yield "nearest", f"experiments {', '.join(near)}"
    yield from _weighed(p)
    for i, (model, numbers) in enumerate(p["hyperparameters"].items()):
        yield ("" if i else "model"), f"{model}: {_recipe(numbers)}"
    yield "seed", str(p["seed"])
    yield "data", f"sha256 {p['data_sha256']}"
    yield "versions", _recipe(p["versions"])


def _weighed(p: dict[str, Any]) -> Iterator[Line]:
    """What a proposal costs, what it keeps to, and where the rules of stopping stood; old ones do not say."""
    if p.get("cost") is not None:
        yield "cost", f"{p['cost']:.4g}"
    if p.get("bounds_kept") is not None:
        yield "bounds", f"kept with probability {p['bounds_kept']:.2f}"
    for i, check in enumerate(p.get("checks", ())):
        sides = [
            f"{word} {check[side]:.4g}"
            for word, side in (("at least", "lower"), ("at most", "upper"))
            if check[side] is not None
        ]
        yield (
            ("" if i else "limits"),
            f"{check['constraint']} is {check['amount']:.4g}, {' and '.join(sides)}",
        )
    for i, rule in enumerate(p.get("stopping", ())):
        yield ("" if i else "stopping"), f"{rule['text']}{' (met)' if rule['met'] else ''}"


def _reduced(body: dict[str, Any]) -> Iterator[Line]:
    s, quality = body["settings"], body["quality"]
    yield "experiment", str(body["number"])
    yield "raw", f"I(Q), sha256 {body['raw_sha256']}"
    if body["background_sha256"] is None:
        yield "background", "none: the instrument has taken it off"
    else:
        how = "fitted" if s["background_scale"] == "fit" else "as set"
        yield "background", f"sha256 {body['background_sha256']}"
        yield (
            "",
            f"  scale {quality['background_scale']:.4g} ({how}), {quality['background_share']:.1%} of the intensity, "
            f"above the sample at {quality['below_background']:.1%} of the points",
        )
    yield "settings", _recipe(s)
    yield "correction", f"polynomial of degree {quality['degree']:.3g}"
    if "uncertainty" in quality:
        yield "uncertainty", f"{quality['uncertainty']:.2g} 1/angstrom^2 in G(r), median, from counting"
    for i, note in enumerate(body["notes"]):
        yield ("" if i else "notes"), note
    yield "pattern", f"G(r), sha256 {body['pattern_sha256']}"
    yield "versions", _recipe(body["versions"])


def _identified(body: dict[str, Any]) -> Iterator[Line]:
    found = body["identification"]
    yield "experiment", str(body["number"])
    yield "verdict", found["verdict"].replace("_", " ")
    for i, reason in enumerate(found["reasons"]):
        yield ("" if i else "reasons"), reason
    for i, c in enumerate(found["candidates"]):
        fitted = _recipe(c["parameters"])
        yield (
            ("" if i else "candidates"),
            f"{c['structure']} ({c['family']}): p {c['probability']:.3f}, R_w {c['r_w']:.3f}",
        )
        if fitted:
            yield "", f"  {fitted}"
    for i, (name, d) in enumerate(found["descriptors"].items()):
        bound = "at least " if d["lower_bound"] else ""
        yield ("" if i else "descriptors"), f"{name} {bound}{d['mean']:.4g} ± {d['sd']:.2g}"
    low, high = found["r_range"]
    yield "compared", f"from {low:g} to {high:g} angstrom"
    yield "settings", _recipe(body["settings"])
    yield "pattern", f"sha256 {body['pattern_sha256']}"
    yield "model", found["model_version"]


def _scored(body: dict[str, Any]) -> Iterator[Line]:
    yield "experiment", str(body["number"])
    yield "summary", body["summary"]
    yield from _plain(body["score"])


def _seen(body: dict[str, Any]) -> Iterator[Line]:
    yield "experiment", str(body["experiment"])
    for i, (name, s) in enumerate(body["signals"].items()):
        spread = "" if s["sd"] is None else f" ± {s['sd']:.2g}"
        yield ("" if i else "signals"), f"{name} {s['value']:.6g}{spread} {s['unit']}".rstrip()
    yield "command", body["command_id"]
    yield "message", f"sha256 {body['message_sha256']}"


def _decided(body: dict[str, Any]) -> Iterator[Line]:
    said = body["decision"]
    yield "experiment", str(body["number"])
    yield "decision", "measure" if said["measure"] else "do not measure"
    yield "reason", said["reason"]
    if said["probability_better"] is not None:
        yield "better", f"than the best known with probability {said['probability_better']:.4f} at most"
        yield "hit", f"within all tolerances with probability {said['probability_within']:.4f} at most"
    for i, (name, value) in enumerate(said["signal"].items()):
        yield ("" if i else "signal"), f"{name} {value:.6g}"
    if said["learned_from"]:
        yield "learned from", f"experiments {', '.join(map(str, said['learned_from']))}"
    yield "data", f"sha256 {said['data_sha256']}"
    if said["versions"]:
        yield "versions", _recipe(said["versions"])


def _queued(body: dict[str, Any]) -> Iterator[Line]:
    order = body["command"]
    yield "command", body["command_id"]
    yield "experiment", str(body["experiment"])
    yield "order", f"{order['action']} on {body['device']}"
    if order["parameters"]:
        yield "parameters", _recipe(order["parameters"])
    yield "sample", order["sample_id"]
    yield "expires", order["expires_at"]


def _started(body: dict[str, Any]) -> Iterator[Line]:
    config, target = body["config"], body.get("target", {})
    yield from _aim(target, config)
    yield "budget", f"{config['budget']['experiments']} experiments, {config['parallel']} at once"
    yield (
        "confirmed by",
        f"{config['confirmations']} replicates with probability {config['hit_probability']:g}",
    )
    for i, p in enumerate(SearchSpace.model_validate(config["search_space"]).shown):
        values = f"fixed at {p.choices[0]}" if len(p.choices) == 1 else ", ".join(p.choices) or p.searched
        yield ("" if i else "parameters"), f"{p.name}: {values} {p.unit}".rstrip()
    devices = body.get("laboratory", {}).get("devices", ())
    yield "devices", ", ".join(f"{d['id']} ({d['driver']})" for d in devices)
    yield "seed", str(config["seed"])
    yield "versions", _recipe(body.get("environment", {}))


def _retargeted(body: dict[str, Any]) -> Iterator[Line]:
    yield from _aim(body["target"], {})


def _ended(body: dict[str, Any]) -> Iterator[Line]:
    yield "state", body["state"]
    yield "reason", body["reason"]
    if "proposal" in body:
        yield "not made", _recipe(body["proposal"]["recipe"])
        yield "", body["proposal"]["explanation"]
        yield from _weighed(body["proposal"])


def _aim(target: dict[str, Any], config: dict[str, Any]) -> Iterator[Line]:
    """The target with its goals and bounds."""
    yield "target", str(target.get("title", config.get("target")))
    descriptors = target.get("descriptors") or {}
    for i, (name, goal) in enumerate(descriptors.get("goals", {}).items()):
        side = "at least " if goal["at_least"] else "at most " if goal.get("at_most") else ""
        weight = f", weight {goal['weight']:g}" if goal.get("weight", 1.0) != 1.0 else ""
        words = f"{name} {side}{goal['value']:.4g} within {goal['tolerance']:.2g}{weight}"
        yield ("" if i else "goals"), words
    for i, (name, bound) in enumerate(descriptors.get("bounds", {}).items()):
        sides = [
            f"{side.replace('_', ' ')} {bound[side]:.4g}"
            for side in ("at_least", "at_most")
            if bound[side] is not None
        ]
        yield ("" if i else "bounds"), f"{name} {' and '.join(sides)}"


def _met(body: dict[str, Any]) -> Iterator[Line]:
    for i, (device, said) in enumerate(body["devices"].items()):
        kind = "simulated" if said.get("simulated") else "real"
        yield ("" if i else "devices"), f"{device}: {said.get('driver', '?')}, {kind}"
        for capability in said.get("capabilities", ()):
            for p in capability["parameters"]:
                values = ", ".join(p["choices"]) or f"{p['lower']:g} to {p['upper']:g} {p['unit']}"
                yield "", f"  {capability['action']} {p['name']}: {values}".rstrip()


def _moved(body: dict[str, Any]) -> Iterator[Line]:
    if "command_id" in body:
        yield "command", body["command_id"]
    yield "experiment", str(body.get("experiment", body.get("number")))
    yield "state", f"{body.get('from', '?')} to {body['to']}"
    for name in ("reason", "cause"):
        if body.get(name):
            yield name, str(body[name])
    if decision := body.get("decision"):
        yield "decision", _recipe(decision)
    for name in ("pattern_sha256", "message_sha256"):
        if body.get(name):
            yield name.removesuffix("_sha256"), f"sha256 {body[name]}"


_FORMS: dict[str, Callable[[dict[str, Any]], Iterator[Line]]] = {
    "campaign-started": _started,
    "campaign-retargeted": _retargeted,
    "campaign-ended": _ended,
    "devices-met": _met,
    "experiment-moved": _moved,
    "command-moved": _moved,
    "experiment-proposed": _proposed,
    "pattern-reduced": _reduced,
    "experiment-identified": _identified,
    "experiment-scored": _scored,
    "command-queued": _queued,
    "signals-received": _seen,
    "stage-decided": _decided,
}
