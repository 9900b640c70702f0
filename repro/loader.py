"""Batches made ahead of the trainer, in other threads, and handed out in order.

Threads, not processes: decoding, resizing and NumPy's loops let go of the interpreter's lock, and a batch needs not be
copied from one process to another.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Loader(Generic[T]):
    """make(first), make(first + 1), ..., make(last - 1), up to `ready` of them made ahead of the one asked for.

    make: a pure function of its number; it is called from `threads` threads at once.
    first, last: numbers of the first batch and of the one after the last.

    An iterator, for use in a `with` block, which ends the threads. What `make` raises is raised where its batch would
    have been handed out, those before it having been; after it, and after the last, there are no more.

    >>> with Loader(lambda i: 10 * i, 3, 6) as loader:
    ...     list(loader)
    [30, 40, 50]
    """

    def __init__(self, make: Callable[[int], T], first: int, last: int, *, ready: int = 4, threads: int = 1) -> None:
        if ready < 1 or threads < 1:
            raise ValueError(f"ready and threads must be at least 1, got {ready} and {threads}")
        self._make, self._next, self._last, self._ready = make, first, last, ready
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="frcnn-loader")
        self._ahead: deque[Future[T]] = deque()
        self.waited = 0.0  # seconds, by whoever asked for batches
        self._fill()

    def __enter__(self) -> "Loader[T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if not self._ahead:
            raise StopIteration
        asked = time.perf_counter()
        try:
            batch = self._ahead.popleft().result()
        except BaseException:  # of `make`, or the user's interrupt while waiting
            self.close()
            raise
        finally:
            self.waited += time.perf_counter() - asked
        self._fill()
        return batch

    def close(self) -> None:
        """End the threads; a batch that is being made is made to its end first, and no other is begun."""
        self._ahead.clear()
        self._next = self._last
        self._pool.shutdown(cancel_futures=True)

    def _fill(self) -> None:
        while self._next < self._last and len(self._ahead) < self._ready:
            self._ahead.append(self._pool.submit(self._make, self._next))
            self._next += 1
