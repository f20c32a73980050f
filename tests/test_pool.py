import threading
import time

import pytest

from app.pool import BusyError, Pool


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_acquire_raises_busy_error_after_its_timeout():
    pool, errors = Pool(["network"]), []

    def take():
        with pytest.raises(BusyError) as caught, pool.acquire(timeout=0.01):
            pytest.fail("two callers hold the only resource")
        errors.append(caught.value)

    with pool.acquire(timeout=0) as network:
        assert network == "network"
        waiting = threading.Thread(target=take, daemon=True)
        waiting.start()
        waiting.join(10)
        assert errors
    with pool.acquire(timeout=0) as again:
        assert again == "network"


def test_resource_is_returned_after_an_error():
    pool = Pool(["network"])
    with pytest.raises(RuntimeError), pool.acquire(timeout=0):
        raise RuntimeError
    with pool.acquire(timeout=0):
        pass


def test_waiting_threads_are_served_in_order_and_before_the_thread_that_returned_the_resource():
    pool, order, threads = Pool(["network"]), [], []

    def take(name):
        with pool.acquire(timeout=10):
            order.append(name)

    with pool.acquire(timeout=0):
        for place, name in enumerate("abc", 1):
            threads.append(threading.Thread(target=take, args=(name,)))
            threads[-1].start()
            wait_until(lambda place=place: len(pool._waiters) == place)
    take("d")  # at once: the waiting threads may not have woken up yet
    for thread in threads:
        thread.join()
    assert order == ["a", "b", "c", "d"]


def test_a_resource_has_one_holder_at_a_time():
    pool, holders, most = Pool(["one", "two"]), set(), []

    def work():
        for _ in range(200):
            with pool.acquire(timeout=10) as resource:
                assert resource not in holders
                holders.add(resource)
                most.append(len(holders))
                holders.discard(resource)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 1200
    assert max(most) <= 2


def test_resource_that_is_assigned_just_after_the_timeout_is_used(monkeypatch):
    class LateEvent(threading.Event):
        def wait(self, _timeout):
            holder.__exit__(None, None, None)
            return False  # timed out, and then the resource was returned

    class Waiter:
        def __init__(self):
            self.assigned = LateEvent()

    monkeypatch.setattr("app.pool._Waiter", Waiter)
    pool = Pool(["network"])
    holder = pool.acquire(timeout=0)
    holder.__enter__()
    with pool.acquire(timeout=0.01) as network:
        assert network == "network"
    with pool.acquire(timeout=0):
        pass
