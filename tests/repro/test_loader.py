"""The loader keeps batches ready, in order, and says how long the trainer waited for them."""

import random
import threading
import time

import pytest

from frcnn.repro.loader import Loader


def our_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("frcnn-loader")]


@pytest.mark.parametrize("threads", [1, 4])
def test_batches_come_in_order_whichever_is_made_first(threads):
    delays = [random.Random(3).random() / 500 for _ in range(40)]

    def make(number):
        time.sleep(delays[number])
        return number

    with Loader(make, 5, 40, ready=6, threads=threads) as loader:
        assert list(loader) == list(range(5, 40))
        assert list(loader) == []


def test_as_many_batches_are_made_ahead_as_shall_be_ready_and_no_more():
    made = []
    with Loader(lambda number: made.append(number) or number, 0, 100, ready=3) as loader:
        assert next(loader) == 0
        deadline = time.monotonic() + 10
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert made == [0, 1, 2, 3]


def test_batches_are_made_in_another_thread():
    with Loader(lambda number: threading.current_thread(), 0, 2) as loader:
        assert threading.current_thread() not in list(loader)


def test_what_making_a_batch_raises_is_raised_in_its_turn():
    trouble = OSError("000005.jpg cannot be read")

    def make(number):
        if number == 2:
            raise trouble
        return number

    with Loader(make, 0, 5) as loader:
        assert [next(loader), next(loader)] == [0, 1]
        with pytest.raises(OSError, match="000005") as caught:
            next(loader)
        assert caught.value is trouble
        assert list(loader) == []


@pytest.mark.parametrize("how", ["end", "leave", "error", "close"])
def test_no_thread_is_left_behind(how):
    if how == "close":
        loader = Loader(lambda number: number, 0, 100)
        next(loader)
        assert our_threads()
        loader.close()
        loader.close()
    else:
        try:
            with Loader(lambda number: 1 / (50 - number), 0, 50 if how == "end" else 100, ready=2, threads=2) as loader:
                for _ in loader:
                    if how == "leave":
                        break
        except ZeroDivisionError:
            assert how == "error"
    assert our_threads() == []


def test_a_closed_loader_begins_no_other_batch():
    begun, go_on = [], threading.Event()

    def make(number):
        begun.append(number)
        go_on.wait(10)

    loader = Loader(make, 0, 100, ready=50)
    threading.Timer(0.02, go_on.set).start()
    loader.close()
    assert begun in ([], [0])
    assert list(loader) == []


def test_a_trainer_slower_than_the_loader_hardly_waits_and_a_faster_one_waits_all_the_time():
    def share(making, training):
        with Loader(lambda number: time.sleep(making), 0, 12) as loader:
            assert loader.waited == 0
            began = time.perf_counter()
            for _ in loader:
                time.sleep(training)
            return loader.waited / (time.perf_counter() - began)

    assert share(0.02, 0) > 0.9
    assert share(0.02, 0.02) < 0.6
    assert share(0, 0.02) < 0.1


def test_a_loader_that_keeps_nothing_ready_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0 and 1"):
        Loader(int, 0, 1, ready=0)
