"""Where simulation runs: in this process, in a pool of local processes, or on a Dask cluster. The answer is the same.

Every job carries the seed of what it draws, so neither their number nor their order matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from solvus.models.structures.build import worker_pool

Mapping = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
CHUNK = 8
"""Jobs that travel together."""


class ClusterError(ValueError):
    """The Dask cluster cannot be used. One sentence."""


@contextmanager
def mapping(processes: int = 1, dask: str | None = None) -> Iterator[Mapping]:
    """A ``map`` that keeps the order.

    Parameters
    ----------
    processes : spawned on this machine, one thread each.
    dask : address of a scheduler, such as ``tcp://head:8786``, whose workers have Solvus installed.

    Raises
    ------
    ClusterError
        When the package ``distributed`` or the scheduler is missing.
    """
    if dask is not None:
        yield from _on_cluster(dask)
    elif processes == 1:
        yield map
    else:
        with worker_pool(processes) as pool:
            yield lambda function, jobs: pool.map(function, jobs, chunksize=CHUNK)


def _on_cluster(address: str) -> Iterator[Mapping]:
    try:
        from distributed import Client  # type: ignore[import-not-found]
    except ImportError as error:
        raise ClusterError("dask: install the package distributed, or leave the cluster out") from error
    try:
        client = Client(address, timeout=20)
    except (OSError, TimeoutError) as error:
        raise ClusterError(f"dask: no scheduler answers at {address}") from error
    with client:
        yield lambda function, jobs: _gathered(client, function, jobs)


def _gathered(client: Any, function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
    futures = client.map(function, jobs, pure=False, batch_size=CHUNK)
    for future in futures:
        yield future.result()
        future.release()
