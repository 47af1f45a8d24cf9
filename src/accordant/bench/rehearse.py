"""`accordant bench rehearse`: a stored history walked again under a changed charter; events a second, comparing too.

The history is taken in and processed first, which is not measured.
"""

import time

import msgspec

from accordant.bench.arena import arena
from accordant.bench.figures import Run
from accordant.bench.runs import events_of, fill_inbox
from accordant.bootstrap import Hub
from accordant.canonical.charter import Charter
from accordant.canonical.rehearsal import RehearsalOrder
from accordant.demo.company import environment
from accordant.runtime.event_loop import rarely_collected

_ROUNDS_MAX = 100_000


def rehearse(store: str, n: int, seed: int) -> Run:
    """Events a second of a whole rehearsal: walk, check against what is held, decide under both charters."""
    with arena(store) as place:
        place.write_charter("http://127.0.0.1:9")
        live = place.hub()
        live.enforce_charter()
        fill_inbox(live, events_of(n, seed))
        for _ in range(_ROUNDS_MAX):
            if live.process_round() == 0:
                break
        hub = Hub(live.settings, changed(live.charter), environment=environment())
        started = time.perf_counter()
        with rarely_collected():  # as the command itself runs
            found = hub.rehearsals.rehearse(RehearsalOrder(), actor="benchmark")
        elapsed = time.perf_counter() - started
        hub.database.close()
        live.database.close()
    if not found.differences or found.events < n * 0.9:
        raise RuntimeError(f"{found.events} events were walked and {found.differences} differences found")
    return Run(value=found.events / elapsed)


def changed(charter: Charter) -> Charter:
    """The charter with half the fields of its first flow no longer released."""
    first = charter.flows[0]
    fewer = msgspec.structs.replace(first, write_fields=first.write_fields[::2])
    return msgspec.structs.replace(charter, flows=(fewer, *charter.flows[1:]))
