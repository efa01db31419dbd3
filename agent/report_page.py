"""The HTML page of a report: pure text from data, nothing fetched from anywhere when it is opened."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from solvus.agent.campaign_record import CampaignRecord, ExperimentRecord
from solvus.agent.jobs import ResolvedTarget
from solvus.agent.ledger.verify import Verification
from solvus.agent.outcomes import (
    diameter_of,
    distance_of,
    outcome_of,
    probability_words,
    role_of,
    short_value,
    structure_of,
)
from solvus.agent.planner.search_space import SearchSpace
from solvus.agent.report_figures import Comparison, with_unit
from solvus.agent.scoring import Bound, Goal
from solvus.models.identification import Identification


@dataclass(frozen=True)
class Report:
    """Everything the page tells.

    ``figures``: PNG by name (``pattern``, ``history``, ``recipes``); one that cannot be drawn is left out.
    """

    record: CampaignRecord
    target: ResolvedTarget
    comparison: Comparison | None
    figures: dict[str, bytes]
    verification: Verification
    check_command: str


def outcome_words(record: CampaignRecord) -> str:
    """How the campaign ended, for the headline."""
    if record.state == "exhausted" and record.campaign.planner.mode != "target":
        return "the campaign has come to its end"
    if record.state == "exhausted" and record.stopped_by_rule:
        return "not found, and little more to gain"
    return {
        "found": "found and confirmed",
        "exhausted": "not found, the budget is spent",
        "stopped": "stopped",
    }.get(record.state, "still running")


def goal_words(name: str, goal: Goal) -> str:
    """One goal as a sentence with its unit; lengths in angstrom, shares in percent."""
    if name.startswith("fraction:"):
        family, least = name.removeprefix("fraction:"), goal.value - goal.tolerance
        if goal.at_most:
            most = goal.value + goal.tolerance
            return f"at most {100 * most:.0f} % of the scattering from {family} particles"
        if not goal.at_least:
            share = f"{100 * goal.value:.0f} ± {100 * goal.tolerance:.0f} %"
            return f"{share} of the scattering from {family} particles"
        return f"at least {100 * least:.0f} % of the scattering from {family} particles"
    unit = " Å" if name in ("diameter", "bond_length") else ""
    label, digits = name.replace("_", " "), 3 if name == "bond_length" else 2
    if goal.at_least:
        return f"{label} at least {goal.value - goal.tolerance:.{digits}f}{unit}"
    if goal.at_most:
        return f"{label} at most {goal.value + goal.tolerance:.{digits}f}{unit}"
    return f"{label} {goal.value:.{digits}f} ± {goal.tolerance:.{digits}f}{unit}"


def bound_words(name: str, bound: Bound) -> str:
    """One bound as a sentence."""
    label = name.replace("_", " ")
    sides = [
        f"{word} {limit:g}"
        for word, limit in (("at least", bound.at_least), ("at most", bound.at_most))
        if limit is not None
    ]
    return f"in any case {label} {' and '.join(sides)}"


def page(report: Report) -> str:
    """The whole document."""
    record = report.record
    title = f"{report.target.title}: {outcome_words(record)}"
    body = [
        f"<h1>{escape(title)}</h1>",
        _subtitle(record),
        *_notes(report),
        _summary(report),
        _section("Target", _target(report)),
        _section("Best result", _best(report)),
        _section("Search", _figure(report, "history", HISTORY_CAPTION)),
        _section("Recipes tried", _figure(report, "recipes", RECIPES_CAPTION)),
        _section("All experiments", _experiments(record)),
        _section("Record", _record(report)),
    ]
    css = files("solvus.agent").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


HISTORY_CAPTION = (
    "Distance of each experiment to the target; bars are one standard deviation of the identification. "
    "Below: experiments without a distance. The dashed line is one tolerance on average over the goals; a hit must be "
    "within each of them, so a miss may lie below the line."
)
RECIPES_CAPTION = (
    "Every parameter in the order of the experiments, coloured by the distance to the target; "
    "crosses have no distance, the ring and dashed line mark the best recipe."
)


def _section(heading: str, content: str) -> str:
    return f"<h2>{escape(heading)}</h2>\n{content}" if content else ""


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: frozenset[int] = frozenset(),
    best: int = -1,
) -> str:
    """A table; columns in ``numbers`` are right-aligned, row ``best`` stands out."""

    def cells(tag: str, values: Sequence[str]) -> str:
        marks = (' class="n"' if i in numbers else "" for i in range(len(values)))
        return "".join(f"<{tag}{m}>{_text(v)}</{tag}>" for m, v in zip(marks, values, strict=True))

    lines = []
    for i, row in enumerate(rows):
        mark = ' class="best"' if i == best else ""
        lines.append(f"<tr{mark}>{cells('td', row)}</tr>")
    return (
        f"<table>\n<thead><tr>{cells('th', head)}</tr></thead>\n<tbody>\n"
        + "\n".join(lines)
        + "\n</tbody>\n</table>"
    )


def _figure(report: Report, name: str, caption: str) -> str:
    if name not in report.figures:
        return ""
    data = base64.b64encode(report.figures[name]).decode()
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _text(words: str) -> str:
    """Escaped, with the field's symbols set as they are read."""
    return escape(words).replace("R_w", "R<sub>w</sub>").replace("u_iso", "u<sub>iso</sub>")


def _minute(timestamp: str) -> str:
    return timestamp[:16].replace("T", " ")


def _subtitle(record: CampaignRecord) -> str:
    ended = f" to {_minute(record.ended_at)}" if record.ended_at else ""
    words = (
        f"Campaign {record.id}, laboratory {record.laboratory.get('name', '?')}, "
        f"{_minute(record.started_at)}{ended} UTC"
    )
    return f'<p class="soft">{escape(words)}</p>'


def _notes(report: Report) -> list[str]:
    notes = []
    simulated = [device for device, is_so in report.record.simulated.items() if is_so]
    if simulated:
        everything = len(simulated) == len(report.record.simulated)
        which = "All devices" if everything else f"The devices {', '.join(simulated)}"
        notes.append(f'<p class="note">{escape(which)} of this laboratory were simulated.</p>')
    if report.verification.problems:
        notes.append(
            f'<p class="note problem">The ledger does not verify: {len(report.verification.problems)} '
            "problems, listed under Record.</p>"
        )
    return notes


def _summary(report: Report) -> str:
    record, best = report.record, report.record.best
    reason = f"{record.reason[:1].upper()}{record.reason[1:]}." if record.reason else ""
    numbers = [("experiments", f"{len(record.experiments)} of {record.campaign.budget.experiments}")]
    if best is not None and best.experiment.score is not None:
        score = best.experiment.score
        numbers += [
            ("best experiment", str(best.number)),
            ("distance to target", f"{score.distance_mean or 0.0:.2f} ± {score.distance_sd or 0.0:.2f} tol."),
            ("within all tolerances", probability_words(score.probability_within)),
        ]
    if report.comparison is not None:
        numbers.append(("measured against target", f"R_w {report.comparison.r_w:.3f}"))
    listed = "".join(f"<div><dt>{escape(k)}</dt><dd>{_text(v)}</dd></div>" for k, v in numbers)
    return f"<p>{escape(reason)}</p>\n<dl class='numbers'>{listed}</dl>"


def _target(report: Report) -> str:
    campaign, wanted = report.record.campaign, report.target.descriptors
    if wanted is None:
        return "<p>None: the campaign explored.</p>"
    words = [goal_words(name, goal) for name, goal in wanted.goals.items()]
    words += [bound_words(name, bound) for name, bound in wanted.bounds.items()]
    goals = "".join(f"<li>{escape(text)}</li>" for text in words)
    if campaign.planner.mode != "target":
        return f"<p>{escape(report.target.title)}, which means:</p>\n<ul>{goals}</ul>"
    count = campaign.confirmations
    confirming = f"{count} replicate{'s' if count > 1 else ''} that hit{'' if count > 1 else 's'} as well"
    rule = (
        f"A hit is within all of these with a probability of at least {campaign.hit_probability:g}; "
        f"found means a hit and {confirming}."
    )
    return f"<p>{escape(report.target.title)}, which means:</p>\n<ul>{goals}</ul>\n<p>{escape(rule)}</p>"


def _best(report: Report) -> str:
    best = report.record.best
    if best is None:
        return "<p>Nothing was identified that could be compared with the target.</p>"
    parts = []
    comparison = report.comparison
    if comparison is None:
        parts.append(
            "<p>The measured pattern and the target share no G(r) that could be laid over each other.</p>"
        )
    else:
        low, high = comparison.r_range
        caption = (
            f"Experiment {best.number} over the G(r) that the target would give on this instrument, "
            f"scaled by {comparison.scale:.3f} (least squares); R_w = {comparison.r_w:.3f} "
            f"from {low:.1f} to {high:.1f} Å, the upper picture."
        )
        parts.append(_figure(report, "pattern", caption))
    parts.append(f"<p><strong>Recipe of experiment {best.number}</strong></p>")
    parts.append(_recipe_table(best, report.record.campaign.search_space))
    parts.append(
        f"<p>Why it was made ({escape(best.proposal.source)}): {escape(best.proposal.explanation)}</p>"
    )
    if best.identification is not None and best.identification.candidates:
        parts += ["<p><strong>What it was identified as</strong></p>", candidates_table(best.identification)]
        parts.append(f'<p class="soft">{escape(descriptor_words(best.identification))}</p>')
    return "\n".join(parts)


def _recipe_table(best: ExperimentRecord, space: SearchSpace) -> str:
    rows = []
    for parameter in space.shown:
        if parameter.name in best.experiment.recipe:
            value = short_value(best.experiment.recipe[parameter.name])
            rows.append((parameter.name, value, parameter.unit, parameter.searched))
    return table(("parameter", "value", "unit", "searched"), rows, numbers=frozenset({1}))


def candidates_table(identification: Identification) -> str:
    rows = [
        (
            c.structure,
            c.family,
            f"{c.probability:.3f}",
            f"{c.r_w:.3f}",
            *(
                f"{c.parameters[name]:.{digits}f}" if name in c.parameters else ""
                for name, digits in (("diameter", 1), ("bond_length", 3), ("u_iso", 4))
            ),
        )
        for c in identification.candidates
    ]
    head = ("structure", "family", "probability", "R_w", "diameter (Å)", "bond length (Å)", "u_iso (Å²)")
    return table(head, rows, numbers=frozenset(range(2, 7)), best=0)


def descriptor_words(identification: Identification) -> str:
    words = [
        f"{name} {'at least ' if d.lower_bound else ''}{d.mean:.3f} ± {d.sd:.3f}"
        for name, d in identification.descriptors.items()
    ]
    return f"Descriptors with standard uncertainty (lengths in Å): {', '.join(words)}."


def _experiments(record: CampaignRecord) -> str:
    if not record.experiments:
        return "<p>None was made.</p>"
    names = ", ".join(with_unit(p) for p in record.campaign.search_space.shown)
    best = record.best
    head = ("#", "source", "recipe", "outcome", "structure", "D (Å)", "distance", "remark")
    rows = [_experiment_row(r) for r in record.experiments]
    index = record.experiments.index(best) if best is not None else -1
    listed = table(head, rows, numbers=frozenset({0, 5, 6}), best=index)
    return f'<p class="soft">Recipes: {escape(names)}.</p>\n<div class="wide">{listed}</div>'


def _experiment_row(record: ExperimentRecord) -> tuple[str, ...]:
    e, distance = record.experiment, distance_of(record.experiment)
    reasons = () if record.identification is None else record.identification.reasons
    remarks = [role_of(e), record.reason, *reasons]
    return (
        str(e.number),
        record.proposal.source,
        " · ".join(map(short_value, e.recipe.values())),
        outcome_of(e).value,
        structure_of(record.identification),
        diameter_of(record.identification),
        "" if distance is None else f"{distance:.2f}",
        "; ".join(r for r in remarks if r),
    )


def _record(report: Report) -> str:
    record, check = report.record, report.verification
    drivers = {d["id"]: d["driver"] for d in record.laboratory.get("devices", ())}
    words = {True: "simulated", False: "not simulated", None: "not met"}
    devices = ", ".join(f"{d} ({driver}, {words[record.simulated.get(d)]})" for d, driver in drivers.items())
    if check.problems:
        listed = "".join(f"<li>{escape(p)}</li>" for p in check.problems)
        verdict = f"<p>Verification found problems:</p><ul>{listed}</ul>"
    else:
        verdict = (
            "<p>Verified when this report was written: the chain is whole and the tables agree with it.</p>"
        )
    environments = [
        f"{'resumed with' if i else 'run with'} {', '.join(f'{k} {v}' for k, v in sorted(e.items()))}"
        for i, e in enumerate(record.environments)
    ]
    parts = [
        f"<p>The ledger holds {check.events} events; the last has the hash</p>",
        f"<pre>{check.head}</pre>",
        verdict,
        "<p>To check that nothing was changed or cut off since:</p>",
        f"<pre>{escape(report.check_command)}</pre>",
        f"<p>Planner seed {record.campaign.seed}. Devices: {escape(devices)}.</p>",
        f'<p class="soft">{escape("; ".join(environments))}.</p>',
    ]
    return "\n".join(parts)
