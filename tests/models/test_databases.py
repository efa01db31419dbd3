"""Structures from databases: the protocols as they are spoken, and what happens when they are not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from solvus.models.structures.databases import cod, materials_project, optimade
from solvus.models.structures.databases.fetch import fetched
from solvus.models.structures.databases.web import CACHE_AGE, Fetched, FetchError, Web
from tests.models.database_server import KEY, Database, serving


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MP_API_KEY", KEY)


def ask(
    database: Database, which: str, elements: tuple[str, ...] = ("Ti", "O"), limit: int = 50
) -> list[Fetched]:
    with serving(database) as base:
        address = {"optimade": f"{base}/optimade", "cod": f"{base}/cod", "mp": base}[which]
        return list(fetched(which, elements, limit, base=address, pause=0.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("which", ["optimade", "cod", "mp"])
def test_every_page_is_read_and_every_entry_is_rutile(which: str) -> None:
    entries = ask(Database(), which)
    assert len(entries) == 5
    for entry, scale in zip(entries, Database().scales, strict=True):
        assert entry.record is not None
        assert (entry.record.space_group, entry.record.formula) == (136, "TiO2")
        assert entry.record.cell is not None
        assert entry.record.cell[0] == pytest.approx(4.594 * scale, abs=1e-3)
        assert entry.origin in entry.record.source


@pytest.mark.parametrize("which", ["optimade", "cod", "mp"])
def test_a_malformed_entry_is_named_and_the_others_kept(which: str) -> None:
    entries = ask(Database(broken=2), which)
    assert [entry.record is None for entry in entries] == [False, False, True, False, False]
    assert "2" in entries[2].message


@pytest.mark.parametrize("which", ["optimade", "cod", "mp"])
def test_the_limit_holds_and_other_elements_give_nothing(which: str) -> None:
    database = Database()
    assert len(ask(database, which, limit=3)) == 3
    assert ask(Database(), which, ("Ti", "O", "N")) == []
    if which == "optimade":
        assert len(database.requests) == 2


def test_optimade_pages_may_be_linked_by_objects() -> None:
    assert len(ask(Database(link_object=True), "optimade")) == 5


def test_a_link_to_another_host_is_not_followed() -> None:
    with pytest.raises(FetchError, match="another host"):
        ask(Database(next_base="http://169.254.169.254"), "optimade")


def test_cod_entries_name_their_publication() -> None:
    (first, *_) = ask(Database(), "cod")
    assert first.record is not None
    assert first.record.name == "TiO2 Rutile"
    assert first.record.source == "COD 9000000; Journal of Tests (2001)"


def web(waits: list[float], cache: Path | None = None) -> Web:
    return Web(cache=cache, pause=0.0, sleep=waits.append)


def test_passing_failures_are_repeated_with_growing_waits_or_as_asked() -> None:
    waits: list[float] = []
    database = Database(failures=[(503, {}), (429, {"Retry-After": "7"}), (500, {}), (502, {})])
    with serving(database) as base, web(waits) as asked:
        assert len(list(cod.structures(asked, ["Ti", "O"], 1, f"{base}/cod"))) == 1
    assert waits == [1.0, 7.0, 4.0, 8.0]


def test_lasting_failures_end_with_what_the_server_said() -> None:
    waits: list[float] = []
    gave_up = pytest.raises(FetchError, match=r"HTTP 503 \(slow down\); gave up after 5 attempts")
    with serving(Database(failures=[(503, {})] * 9)) as base, web(waits) as asked, gave_up:
        list(cod.structures(asked, ["Ti", "O"], 1, f"{base}/cod"))
    assert len(waits) == 4
    with serving(Database()) as base, web(waits) as asked, pytest.raises(FetchError, match="HTTP 404"):
        list(optimade.structures(asked, ["Ti"], 1, f"{base}/elsewhere"))


def test_a_server_that_is_not_there() -> None:
    with serving(Database()) as base:
        pass
    with web([]) as asked, pytest.raises(FetchError, match="no connection"):
        list(cod.structures(asked, ["Ti"], 1, base))
    with web([]) as asked, pytest.raises(FetchError, match="not an http"):
        asked.get("ftp://example.org/x")


@pytest.mark.parametrize(
    ("which", "body"),
    [
        ("optimade", b"<html>"),
        ("optimade", b'{"data": {}}'),
        ("cod", b'{"file": 1}'),
        ("cod", b'[{"file": "../../etc/passwd"}]'),
        ("mp", b"[]"),
    ],
)
def test_answers_in_another_language_are_refused(which: str, body: bytes) -> None:
    with pytest.raises(FetchError):
        ask(Database(body=body), which)


def test_pauses_are_kept_between_requests() -> None:
    waits: list[float] = []
    with serving(Database()) as base, Web(pause=0.5, sleep=waits.append) as asked:
        list(cod.structures(asked, ["Ti", "O"], 3, f"{base}/cod"))
    assert len(waits) == 3
    assert all(0.3 < wait <= 0.5 for wait in waits)


def test_answers_are_cached_for_a_week(tmp_path: Path) -> None:
    database = Database()
    with serving(database) as base:
        read: Callable[[], list[Fetched]] = lambda: list(  # noqa: E731
            fetched("cod", ["Ti", "O"], 2, base=f"{base}/cod", cache=tmp_path, pause=0.0)
        )
        first = read()
        count = len(database.requests)
        assert [e.origin for e in read()] == [e.origin for e in first]
        assert len(database.requests) == count == 3
        old = time.time() - CACHE_AGE - 10
        for path in tmp_path.iterdir():
            os.utime(path, (old, old))
        read()
        assert len(database.requests) == 2 * count


def test_the_key_is_sent_to_the_materials_project_only_and_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database()
    with serving(database) as base:
        list(fetched("mp", ["Ti", "O"], 5, base=base, cache=tmp_path, pause=0.0))
        assert set(database.keys) == {KEY}
        list(fetched("cod", ["Ti", "O"], 1, base=f"{base}/cod", pause=0.0))
        assert database.keys[-1] is None
    assert not any(KEY in path.name or KEY.encode() in path.read_bytes() for path in tmp_path.iterdir())
    monkeypatch.setenv("MP_API_KEY", "wrong-key")
    with pytest.raises(FetchError, match="HTTP 403") as caught:
        ask(Database(), "mp")
    assert "wrong-key" not in str(caught.value)
    monkeypatch.delenv("MP_API_KEY")
    with pytest.raises(FetchError, match="set MP_API_KEY"):
        materials_project.headers()
