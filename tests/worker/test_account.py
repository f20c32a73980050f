"""Reservations for bodies, and the budget that comes from the container's limit."""

from types import SimpleNamespace

import pytest

from app import memory
from app.worker import limits
from app.worker.account import Account

MIB = 2**20


def holder():
    return SimpleHolder()


class SimpleHolder(SimpleNamespace):
    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def __init__(self):
        super().__init__(reserved=0, buffered=0)


def test_bodies_wait_in_order_of_arrival():
    account = Account(100, 100)
    first, large, small = holder(), holder(), holder()
    assert account.reserve(first, 60)
    assert not account.reserve(large, 80)
    assert not account.reserve(small, 10)  # it fits, but would overtake
    assert account.grant_next() is None
    account.release(first)
    assert [account.grant_next(), account.grant_next(), account.grant_next()] == [large, small, None]
    assert account.bodies == 90


def test_body_of_exactly_the_free_bytes_is_admitted():
    account = Account(100, 100)
    first, second = holder(), holder()
    assert account.reserve(first, 100)
    assert not account.reserve(second, 100)
    account.release(first)
    assert account.grant_next() is second


def test_connection_that_goes_away_leaves_the_queue():
    account = Account(100, 100)
    first, second, third = holder(), holder(), holder()
    account.reserve(first, 100)
    account.reserve(second, 100)
    account.reserve(third, 100)
    account.release(second)
    account.release(first)
    assert account.grant_next() is third


def test_smaller_body_than_reserved_makes_room_for_others():
    account = Account(100, 100)
    chunked, other = holder(), holder()
    account.reserve(chunked, 100)
    account.reserve(other, 40)
    account.resize(chunked, 60)
    assert account.grant_next() is other


@pytest.mark.parametrize(
    ("memory_limit", "workers", "expected"),
    [
        (None, 2, 70 * MIB),
        (512 * MIB, 1, 70 * MIB),
        (512 * MIB, 2, 26 * MIB),
        (256 * MIB, 1, 20 * MIB),  # one body always fits
    ],
)
def test_budget_comes_from_the_containers_limit(memory_limit, workers, expected):
    assert limits.body_budget(20 * MIB, memory_limit, workers) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("memory.max", "536870912\n", 512 * MIB),
        ("memory.max", "max\n", None),
        ("memory/memory.limit_in_bytes", "536870912\n", 512 * MIB),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", None),
        ("none", "", None),
    ],
)
def test_limit_is_read_from_either_version_of_cgroups(tmp_path, name, text, expected):
    file = tmp_path / "sys/fs/cgroup" / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert memory.limit(tmp_path) == expected
