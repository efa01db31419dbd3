"""Polite requests to a structure database: one at a time with a pause between, repeated with back-off, cached.

A request that fails for a reason that passes (no connection, 429, 5xx) is repeated ``ATTEMPTS`` times, after 1, 2, 4, 8
seconds or as long as the server asks with Retry-After. Answers are kept for a week. Neither the cache nor any message
holds a header, and so no key.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from solvus import __version__
from solvus.models.structures.own import write_atomically
from solvus.models.structures.record import Record

ATTEMPTS = 5
FIRST_WAIT = 1.0
"""Seconds before the second attempt; each further wait is twice as long."""
LONGEST_WAIT = 60.0
"""Seconds; a server that asks for longer is asked again after this."""
PAUSE = 1.0
"""Seconds between two requests: the databases are free, and shared."""
TIMEOUT = 60.0
"""Seconds without a byte."""
LARGEST_ANSWER = 50_000_000
"""Bytes; a page of a hundred structures has under 5 MB."""
CACHE_AGE = 7 * 86_400.0
"""Seconds: databases grow by the week."""
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class FetchError(ValueError):
    """A database that cannot be asked or does not answer as its protocol says."""


@dataclass(frozen=True)
class Fetched:
    """One entry of a database: a record, or the reason why there is none."""

    origin: str
    record: Record | None
    message: str = ""


class Web:
    """Requests to one database; use it as a context.

    Parameters
    ----------
    cache : folder for answers; ``None`` asks anew each time.
    headers : sent with each request and never shown; with any, redirects are not followed.
    pause, sleep : seconds between requests, and what waits.
    """

    def __init__(
        self,
        *,
        cache: Path | None = None,
        headers: Mapping[str, str] | None = None,
        pause: float = PAUSE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        own = {"User-Agent": f"solvus/{__version__} (structure library)"}
        self._client = httpx.Client(
            headers={**own, **(headers or {})}, timeout=TIMEOUT, follow_redirects=not headers
        )
        self._cache, self._pause, self._sleep = cache, pause, sleep
        self._last = -float("inf")

    def __enter__(self) -> Web:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, url: str, parameters: Mapping[str, str | int] | None = None) -> bytes:
        """The body of the answer.

        Raises
        ------
        FetchError
            When the server cannot be reached, refuses, or answers with more than ``LARGEST_ANSWER`` bytes.
        """
        try:
            address = httpx.URL(url, params=parameters) if parameters else httpx.URL(url)
        except (httpx.InvalidURL, TypeError) as error:
            raise FetchError(f"{url}: not an address; give one such as https://example.org") from error
        if address.scheme not in ("http", "https") or not address.host:
            raise FetchError(f"{url}: not an http or https address")
        kept = self._kept(str(address))
        if kept is not None and kept.is_file() and time.time() - kept.stat().st_mtime < CACHE_AGE:
            return kept.read_bytes()
        body = self._answer(address)
        if kept is not None:
            write_atomically(kept, body)
        return body

    def json(self, url: str, parameters: Mapping[str, str | int] | None = None) -> Any:
        """The answer as JSON. Raises FetchError as :meth:`get`, and when it is none."""
        body = self.get(url, parameters)
        try:
            return json.loads(body)
        except ValueError as error:
            raise FetchError(f"{_host(url)}: the answer is not JSON; is this the right address?") from error

    def _kept(self, address: str) -> Path | None:
        name = hashlib.sha256(address.encode()).hexdigest()[:32]
        return None if self._cache is None else self._cache / name

    def _answer(self, address: httpx.URL) -> bytes:
        wait, reason = FIRST_WAIT, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(min(wait, LONGEST_WAIT))
            since = time.monotonic() - self._last
            if since < self._pause:
                self._sleep(self._pause - since)
            wait = FIRST_WAIT * 2.0**attempt
            try:
                status, body, asked = self._once(address)
            except httpx.TransportError as error:
                reason = f"no connection ({str(error) or type(error).__name__})"
                continue
            finally:
                self._last = time.monotonic()
            if status == httpx.codes.OK:
                return body
            reason = f"HTTP {status}{_detail(body)}"
            if status not in PASSING:
                raise FetchError(f"{address.host}: {reason}")
            wait = max(wait, asked)
        raise FetchError(f"{address.host}: {reason}; gave up after {ATTEMPTS} attempts, try again later")

    def _once(self, address: httpx.URL) -> tuple[int, bytes, float]:
        """Status, body, and the seconds that the server asks to wait."""
        with self._client.stream("GET", address) as response:
            parts, size = [], 0
            for part in response.iter_bytes():
                size += len(part)
                if size > LARGEST_ANSWER:
                    raise FetchError(f"{address.host}: the answer is larger than {LARGEST_ANSWER} bytes")
                parts.append(part)
            asked = response.headers.get("Retry-After", "")
            return response.status_code, b"".join(parts), float(asked) if asked.isdigit() else 0.0


def same_host(one: str, other: str) -> bool:
    """Whether two addresses lie on one host; a database may not send its readers elsewhere."""
    return _host(one) == _host(other)


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _detail(body: bytes) -> str:
    """What a JSON:API or plain JSON error says, in brackets."""
    try:
        document = json.loads(body)
        first = document["errors"][0] if "errors" in document else document
        text = str(first.get("detail") or first.get("message") or first.get("title") or "")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return ""
    return f" ({text[:200]})" if text else ""
