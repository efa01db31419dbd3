"""The shelf between the simulated devices is durable, shared and idempotent."""

import multiprocessing
from pathlib import Path

import pytest

from solvus.simulations.world import Product
from solvus.simulations.world_store import SampleRecord, WorldStore, WorldStoreError


def record(diameter: float = 35.0) -> SampleRecord:
    product = Product(
        world="gold",
        composition="Au",
        fractions={"fcc": 1.0},
        diameter=diameter,
        relative_width=0.1,
        bond_length=2.88,
        u_iso=0.01,
    )
    return SampleRecord(product=product, seed=1, experiment=2, replicate=0)


def put_many(path: str, worker: int) -> None:
    store = WorldStore(Path(path))
    for i in range(20):
        store.put(f"shared-{i}", record())
        store.put(f"own-{worker}-{i}", record(20.0 + i))
        store.repeat_of(f"shared-{i}", f"command-{worker}-{i}")


def test_samples_come_back_exactly(tmp_path: Path) -> None:
    WorldStore(tmp_path / "shelf.sqlite").put("a", record(34.123456789012345))
    assert WorldStore(tmp_path / "shelf.sqlite").get("a") == record(34.123456789012345)


def test_the_same_again_changes_nothing_and_another_under_its_name_is_refused(tmp_path: Path) -> None:
    store = WorldStore(tmp_path / "shelf.sqlite")
    store.put("a", record())
    store.put("a", record())
    with pytest.raises(WorldStoreError, match="a is already on the shelf"):
        store.put("a", record(20.0))
    assert store.get("a") == record()


def test_unknown_samples_are_named(tmp_path: Path) -> None:
    store = WorldStore(tmp_path / "shelf.sqlite")
    for ask in (lambda: store.get("ghost"), lambda: store.repeat_of("ghost", "c")):
        with pytest.raises(WorldStoreError, match="no sample ghost was made here"):
            ask()


def test_measurements_of_a_sample_are_counted_once_per_command(tmp_path: Path) -> None:
    store = WorldStore(tmp_path / "shelf.sqlite")
    store.put("a", record())
    store.put("b", record())
    assert [store.repeat_of("a", c) for c in ("x", "y", "x", "z")] == [0, 1, 0, 2]
    assert store.repeat_of("b", "w") == 0


def test_two_processes_share_it(tmp_path: Path) -> None:
    path = str(tmp_path / "shelf.sqlite")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=put_many, args=(path, w)) for w in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    store = WorldStore(Path(path))
    assert store.get("own-1-19") == record(39.0)
    assert store.repeat_of("shared-3", "third") == 2
