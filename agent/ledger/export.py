"""The ledger for other programs: all events as JSON, the experiments as a table, or both in an RO-Crate.

An RO-Crate (https://w3id.org/ro/crate/1.1) is a folder that describes itself in ``ro-crate-metadata.json``:
repositories and electronic notebooks read it. Nothing in an export is rounded, and the head hash is in each, so that
it can be held against the ledger.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from solvus import __version__
from solvus.agent.ledger.ledger import Ledger, decode
from solvus.agent.ledger.tables import EventRow, ExperimentRow, PatternRow

RO_CRATE = "https://w3id.org/ro/crate/1.1"
PROPERTIES = ("state", "replicate_of", "replicate", "sample_id", "reason", "cause", "pattern_sha256")


@dataclass(frozen=True)
class Contents:
    """What is exported, read in one transaction."""

    events: Sequence[EventRow]
    experiments: Sequence[ExperimentRow]
    patterns: Sequence[PatternRow]

    @property
    def head(self) -> str:
        return self.events[-1].hash if self.events else ""


async def read(ledger: Ledger, campaign: str | None = None) -> Contents:
    """Everything of one campaign, or of all."""
    events = select(EventRow).order_by(col(EventRow.seq))
    experiments = select(ExperimentRow).order_by(col(ExperimentRow.campaign), col(ExperimentRow.number))
    if campaign is not None:
        events = events.where(EventRow.campaign == campaign)
        experiments = experiments.where(ExperimentRow.campaign == campaign)
    async with ledger.snapshot() as session:
        found = (await session.exec(events)).all()
        rows = (await session.exec(experiments)).all()
        wanted = {sha for row in found for sha in _patterns_of(json.loads(row.body))}
        patterns = [p for p in (await session.exec(select(PatternRow))).all() if p.sha256 in wanted]
    return Contents(found, rows, patterns)


def _patterns_of(body: dict[str, Any]) -> Iterable[str]:
    yield from (
        body[f"{which}_sha256"] for which in ("pattern", "raw", "background") if body.get(f"{which}_sha256")
    )
    if isinstance(body.get("target"), dict) and body["target"].get("pattern_of_target"):
        yield body["target"]["pattern_of_target"]


def as_json(contents: Contents) -> str:
    """All events with their hashes: enough to verify the chain elsewhere. ``body`` is the text that is hashed."""
    events = [
        {
            "seq": row.seq,
            "campaign": row.campaign,
            "kind": row.kind,
            "version": row.version,
            "at": row.at,
            "body": row.body,
            "event": decode(row).body,
            "prev_hash": row.prev_hash,
            "hash": row.hash,
        }
        for row in contents.events
    ]
    document = {"schema": "solvus.export/1", "solvus": __version__, "head": contents.head, "events": events}
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def as_csv(contents: Contents) -> str:
    """One line for each experiment: what was made, what came of it, what it was taken for and how near that is."""
    lines = [_line(row) for row in contents.experiments]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    text = StringIO()
    writer = csv.DictWriter(text, columns or ["campaign", "experiment"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _line(row: ExperimentRow) -> dict[str, Any]:
    line: dict[str, Any] = {"campaign": row.campaign, "experiment": row.number}
    line |= {f"recipe:{name}": value for name, value in json.loads(row.recipe).items()}
    line |= {name: getattr(row, name) for name in PROPERTIES}
    if row.identification is not None:
        found = json.loads(row.identification)
        line["verdict"] = found["verdict"]
        if found["candidates"]:
            best = found["candidates"][0]
            line |= {"structure": best["structure"], "probability": best["probability"], "r_w": best["r_w"]}
        for name, descriptor in found["descriptors"].items():
            line |= {name: descriptor["mean"], f"{name}:sd": descriptor["sd"]}
    if row.score is not None:
        line |= {
            f"score:{name}": value
            for name, value in json.loads(row.score).items()
            if not isinstance(value, dict)
        }
    return line


def write_crate(contents: Contents, folder: Path) -> None:
    """Write an RO-Crate into ``folder``, which must not exist."""
    files = {
        "events.json": (
            "All events of the ledger, with the hash chain",
            "application/json",
            as_json(contents),
        ),
        "experiments.csv": ("The experiments, one line each", "text/csv", as_csv(contents)),
    }
    for pattern in contents.patterns:
        name = f"patterns/{pattern.sha256}.json"
        files[name] = ("A measured or target pattern, named by its SHA-256", "application/json", pattern.body)
    (folder / "patterns").mkdir(parents=True)
    for name, (_, _, text) in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    metadata = json.dumps(_metadata(contents, files), indent=1, ensure_ascii=False)
    (folder / "ro-crate-metadata.json").write_text(metadata + "\n", encoding="utf-8")


def _metadata(contents: Contents, files: dict[str, tuple[str, str, str]]) -> dict[str, Any]:
    campaigns = sorted({row.campaign for row in contents.events})
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Solvus campaign {', '.join(campaigns)}",
        "description": f"{len(contents.experiments)} experiments of a self-driving laboratory, with the record of "
        "every decision",
        "datePublished": contents.events[-1].at if contents.events else "",
        "identifier": contents.head,
        "hasPart": [{"@id": name} for name in files],
        "mentions": [{"@id": "#run"}],
    }
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"campaign {', '.join(campaigns)}",
        "startTime": contents.events[0].at if contents.events else "",
        "endTime": contents.events[-1].at if contents.events else "",
        "instrument": {"@id": "#solvus"},
        "result": [{"@id": "events.json"}],
    }
    program = {
        "@id": "#solvus",
        "@type": "SoftwareApplication",
        "name": "Solvus",
        "softwareVersion": __version__,
    }
    itself = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": {"@id": RO_CRATE},
        "about": {"@id": "./"},
    }
    parts = [
        {
            "@id": name,
            "@type": "File",
            "name": what,
            "encodingFormat": kind,
            "contentSize": str(len(text.encode())),
        }
        for name, (what, kind, text) in files.items()
    ]
    return {"@context": f"{RO_CRATE}/context", "@graph": [itself, root, run, program, *parts]}
