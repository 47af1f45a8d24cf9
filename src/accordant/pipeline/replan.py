"""The desk without a new event: decide again what targets should hold. The same path, started otherwise.

Used when the charter changed, when a day passed (a status may depend on it), and to repair what reconciliation found.
"""

from collections.abc import Iterable
from datetime import datetime

from accordant.canonical.conflicts import Stand
from accordant.canonical.refs import EntityKind
from accordant.governance.decide import Switches
from accordant.governance.financial import OF_SALES
from accordant.pipeline.bookkeep import recall_documents
from accordant.pipeline.plan import Rulebook, plan
from accordant.pipeline.workbench import Workbench
from accordant.ports.state import Changes, State


def replan(
    account_ids: Iterable[str],
    *,
    rulebook: Rulebook,
    state: State,
    now: datetime,
    repair: frozenset[str] = frozenset(),
    stands: Iterable[Stand] = (),
    over: frozenset[str] = frozenset(),
    whole: frozenset[str] = frozenset(),
) -> Changes:
    """Decided, uncommitted changes for these accounts.

    Records named in ``repair`` are written even if nothing new was decided; ``stands`` are put down first. Red flags
    named in ``over`` stop nothing any more. Of the accounts named in ``whole`` everything that stands below them is
    looked at, of the others the subscriptions that their standing remembers; where some record is named, or a stand or
    a flag was in its way, that is all of them.
    """
    bench = Workbench(state, now)
    ids, put_down = tuple(account_ids), tuple(stands)
    if repair or put_down or over:
        whole = whole.union(ids)
    bench.load_entities(ids)
    bench.load_standings(ids)
    bench.load_whole(whole)
    for name in ids:
        stored = bench.entity(name)
        kind = None if stored is None else stored.ref.kind
        decided = bench.sales if kind in OF_SALES else bench.catalog if kind is EntityKind.PRODUCT else bench.touched
        decided[name] = None
    if rulebook.ledger is not None and repair:
        names = {record.rpartition("/")[2] for record in repair}
        recall_documents(bench, state.books.kept_entries(names), state.books)
    for stand in put_down:
        bench.put_stand(stand)
    policy = state.policy()
    stops = [stop for stop in policy.flag_stops if stop.flag not in over]
    plan(bench, rulebook, Switches.thrown(policy.switches, policy.grants, stops), repair=repair)
    return bench.collect()
