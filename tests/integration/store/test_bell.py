"""The bell: whoever waits hears that somebody else stored something, soon, and nothing when nobody did."""

from __future__ import annotations

import threading
import time

import pytest

from accordant.kernel.errors import TransientError
from accordant.store.bell import bell_of
from accordant.store.cursors import Cursors
from accordant.store.engine import Database
from tests.integration.store.rows import NOW

_SOON_S = 2.0


def test_who_waits_hears_the_work_of_another_process_and_silence_otherwise(database: Database, store_url: str) -> None:
    other = Database(store_url)
    here, there = bell_of(database), bell_of(other)
    here.wait(0.1)  # the first look tells of what was stored before
    assert not here.wait(0.1)
    heard: list[float] = []

    def listen() -> None:
        began = time.monotonic()
        while not here.wait(0.2):
            assert time.monotonic() - began < _SOON_S
        heard.append(time.monotonic())

    listener = threading.Thread(target=listen)
    listener.start()
    time.sleep(0.05)
    rung = time.monotonic()
    Cursors(other).move("work", 1, now=NOW)
    there.ring()
    listener.join(_SOON_S)
    assert heard, "nobody heard it"
    assert heard[0] - rung < _SOON_S
    while here.wait(0.05):  # rings may come in twos; then there is silence
        pass
    assert not here.wait(0.1)
    here.close()
    there.close()
    other.close()


@pytest.mark.postgres
def test_a_store_that_is_not_there_is_said_as_what_passes(postgres_server: str) -> None:
    gone = Database(postgres_server.rpartition("/")[0] + "/accordant_there_is_no_such_database")
    bell = bell_of(gone)
    with pytest.raises(TransientError, match="does not exist"):
        bell.wait(0.1)
    with pytest.raises(TransientError):
        bell.ring()
    bell.close()
    gone.close()
