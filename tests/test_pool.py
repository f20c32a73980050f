import threading
import time

import pytest

from app.pool import BusyError, Pool


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_busy_when_none_comes_back_in_time():
    pool = Pool(["network"])
    with pool.acquire(timeout=0) as lent:
        assert lent == "network"
        with pytest.raises(BusyError), pool.acquire(timeout=0.01):
            pytest.fail("there is only one")
    with pool.acquire(timeout=0) as again:
        assert again == "network"


def test_comes_back_after_an_error():
    pool = Pool(["network"])
    with pytest.raises(RuntimeError), pool.acquire(timeout=0):
        raise RuntimeError
    with pool.acquire(timeout=0):
        pass


def test_first_come_first_served_even_before_the_one_who_gives_back():
    pool, order, threads = Pool(["network"]), [], []

    def take(name):
        with pool.acquire(timeout=10):
            order.append(name)

    with pool.acquire(timeout=0):
        for place, name in enumerate("abc", 1):
            threads.append(threading.Thread(target=take, args=(name,)))
            threads[-1].start()
            wait_until(lambda place=place: len(pool._waiters) == place)
    take("d")  # asks at once, when the others may not have woken yet
    for thread in threads:
        thread.join()
    assert order == ["a", "b", "c", "d"]


def test_nobody_gets_what_another_has():
    pool, holders, most = Pool(["one", "two"]), set(), []

    def work():
        for _ in range(200):
            with pool.acquire(timeout=10) as thing:
                assert thing not in holders
                holders.add(thing)
                most.append(len(holders))
                holders.discard(thing)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 1200
    assert max(most) <= 2
