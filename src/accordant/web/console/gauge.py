"""The one figure that needs a pass over every record: counted beside the pages, as often as it can afford."""

import threading
import time
from collections.abc import Callable

from accordant.kernel.clock import Clock
from accordant.kernel.errors import TransientError
from accordant.views.agreement import Agreement

#: A count may take at most this part of the time: one that takes a second is made every twenty.
SHARE_OF_TIME = 20
#: What a page waits for a first count before it says that it is being counted.
PATIENCE_S = 0.4


class Gauge:
    """Remembers the last agreement and counts it anew in a thread of its own; thread-safe."""

    def __init__(self, count: Callable[[], Agreement], clock: Clock) -> None:
        self._count = count
        self._clock = clock
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._last: Agreement | None = None
        self._took_s = 0.0
        self._running = False

    def read(self) -> Agreement | None:
        """The latest count; None while the first one is still being made."""
        with self._lock:
            last = self._last
            age_s = (self._clock() - last.counted_at).total_seconds() if last is not None else None
            stale = age_s is None or age_s >= self._took_s * SHARE_OF_TIME
            start = stale and not self._running
            if start:
                self._running = True
                self._ready.clear()
                threading.Thread(target=self._run, name="console-gauge", daemon=True).start()
        # A small store answers at once, so its pages are never behind. Only the page that began a count waits for it.
        if start and (last is None or self._took_s < PATIENCE_S / 4):
            self._ready.wait(PATIENCE_S)
        with self._lock:
            return self._last

    def _run(self) -> None:
        began = time.perf_counter()
        counted: Agreement | None = None
        try:
            counted = self._count()
        except TransientError:
            counted = None  # the store is away; the next page asks again
        finally:
            with self._lock:
                self._running = False
                self._took_s = time.perf_counter() - began
                self._last = counted or self._last
            self._ready.set()
