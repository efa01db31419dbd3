"""A local HTTP server that speaks the protocols of OPTIMADE, COD and the Materials Project, with faults on demand."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

KEY = "a-secret-key"
FILTER = re.compile(r'^elements HAS ALL ((?:"[A-Z][a-z]?")(?:,"[A-Z][a-z]?")*) AND nelements=(\d+)$')
"""The part of OPTIMADE's filter grammar that is served; anything else is a bad request, as the specification asks."""

CELL = [[4.594, 0.0, 0.0], [0.0, 4.594, 0.0], [0.0, 0.0, 2.959]]
RUTILE = [
    ("Ti", (0.0, 0.0, 0.0)),
    ("Ti", (0.5, 0.5, 0.5)),
    ("O", (0.3053, 0.3053, 0.0)),
    ("O", (0.6947, 0.6947, 0.0)),
    ("O", (0.8053, 0.1947, 0.5)),
    ("O", (0.1947, 0.8053, 0.5)),
]
CIF = """data_{number}
_journal_name_full 'Journal of Tests'
_journal_year 2001
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c 2.959
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 42/m n m'
_chemical_name_mineral Rutile
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Ti1 0 0 0
O1 0.3053 0.3053 0
"""


@dataclass
class Database:
    """What is served, and what was asked.

    Attributes
    ----------
    scales : one rutile cell for each, scaled; entry number ``broken`` is malformed.
    failures : (status, headers) given, one for each request, before anything is answered.
    next_base : where ``links.next`` points instead of here.
    """

    scales: tuple[float, ...] = (1.0, 1.02, 1.04, 1.06, 1.08)
    broken: int | None = None
    failures: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    next_base: str | None = None
    link_object: bool = False
    body: bytes | None = None
    requests: list[str] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)


class NotServedError(Exception):
    """A request that the protocol refuses: status and reason."""


def lattice(scale: float) -> list[list[float]]:
    return [[x * scale for x in row] for row in CELL]


def optimade(database: Database, query: dict[str, list[str]], base: str) -> object:
    matched = FILTER.match(query["filter"][0])
    if matched is None:
        raise NotServedError(400, f"cannot parse the filter {query['filter'][0]}")
    wanted = set(matched[1].replace('"', "").split(","))
    chosen = list(enumerate(database.scales)) if wanted == {"Ti", "O"} and matched[2] == "2" else []
    offset, limit = int(query.get("page_offset", ["0"])[0]), min(2, int(query["page_limit"][0]))
    data = []
    for number, scale in chosen[offset : offset + limit]:
        places = [
            [sum(x * v[k] for x, v in zip(f, lattice(scale), strict=True)) for k in range(3)]
            for _, f in RUTILE
        ]
        attributes = {
            "lattice_vectors": lattice(scale),
            "cartesian_site_positions": None if number == database.broken else places,
            "species_at_sites": [symbol for symbol, _ in RUTILE],
            "species": [{"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in ("Ti", "O")],
            "dimension_types": [1, 1, 1],
        }
        data.append({"type": "structures", "id": f"x-{number}", "attributes": attributes})
    link: object = None
    if offset + limit < len(chosen):
        following = {key: values[0] for key, values in query.items()} | {"page_offset": str(offset + limit)}
        link = f"{database.next_base or base}/optimade/v1/structures?{urlencode(following)}"
        link = {"href": link, "meta": {}} if database.link_object else link
    return {
        "data": data,
        "links": {"next": link},
        "meta": {"api_version": "1.1.0", "more_data_available": bool(link)},
    }


def cod(database: Database, path: str, query: dict[str, list[str]]) -> object:
    if path == "/cod/result":
        asked = {query[key][0] for key in query if re.fullmatch(r"el\d", key)}
        exact = query["strictmin"] == query["strictmax"] == [str(len(asked))]
        numbers = range(len(database.scales)) if asked == {"Ti", "O"} and exact else []
        return [{"file": str(9000000 + n), "sg": "P 42/m n m"} for n in numbers]
    number = int(path.removeprefix("/cod/9").removesuffix(".cif"))
    if number == database.broken:
        return f"data_{number}\n_cell_length_a 4\n"
    return CIF.format(number=number, a=4.594 * database.scales[number])


def materials_project(database: Database, query: dict[str, list[str]], key: str | None) -> object:
    if key != KEY:
        raise NotServedError(403, "Invalid authentication credentials")
    skip, limit = int(query["_skip"][0]), int(query["_limit"][0])
    chosen = list(enumerate(database.scales)) if query["chemsys"] == ["O-Ti"] else []
    data = []
    for number, scale in chosen[skip : skip + limit]:
        sites = [{"species": [{"element": s, "occu": 1}], "abc": list(f), "label": s} for s, f in RUTILE]
        structure = {"@class": "Structure", "lattice": {"matrix": lattice(scale)}, "sites": sites}
        if number == database.broken:
            del structure["lattice"]
        data.append({"material_id": f"mp-{number}", "structure": structure})
    return {"data": data, "meta": {"total_doc": len(chosen)}}


@contextmanager
def serving(database: Database) -> Iterator[str]:
    """Address of a server on this machine, while it runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            database.requests.append(self.path)
            database.keys.append(self.headers.get("X-API-KEY"))
            if database.failures:
                status, headers = database.failures.pop(0)
                self.answer(status, b'{"errors": [{"detail": "slow down"}]}', headers)
                return
            if database.body is not None:
                self.answer(200, database.body)
                return
            try:
                content = self.content(base)
            except NotServedError as error:
                self.answer(error.args[0], json.dumps({"errors": [{"detail": error.args[1]}]}).encode())
                return
            self.answer(200, content.encode() if isinstance(content, str) else json.dumps(content).encode())

        def content(self, base: str) -> object:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            routes: dict[str, Callable[[], object]] = {
                "/optimade/v1/structures": lambda: optimade(database, query, base),
                "/materials/summary/": lambda: materials_project(
                    database, query, self.headers.get("X-API-KEY")
                ),
            }
            if parts.path.startswith("/cod/"):
                return cod(database, parts.path, query)
            if parts.path not in routes:
                raise NotServedError(404, "no such path")
            return routes[parts.path]()

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    base = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield base
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
