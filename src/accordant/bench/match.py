"""`accordant bench match`: whose record a customer is, among n known records of a target; milliseconds a decision.

The directory is filled first, page by page as a scan fills it, which is not measured. Next: `identity/ladder.py`.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import msgspec

from accordant.bench.arena import arena
from accordant.bench.figures import Run
from accordant.canonical.charter import IdentityPart
from accordant.canonical.matching import Candidate, Subject
from accordant.identity.ladder import Ladder
from accordant.kernel.errors import InvariantBroken
from accordant.ports.directory import DirectoryEntry
from accordant.ports.matching import Scan
from accordant.store.directory import SqlDirectory
from accordant.store.engine import Database
from accordant.store.migrate import migrate

DECISIONS = 5_000
_PAGE = 10_000
_SYSTEM, _OBJECT = "salesforce", "Account"
_FIRST = ("North", "Blue", "Grand", "Silver", "Royal", "Swift", "Prime", "Solid", "Bright", "Clear", "Iron", "Green")
_SECOND = ("wind", "stone", "river", "field", "bridge", "light", "gate", "port", "wood", "hill", "lake", "star")
_THIRD = ("Traders", "Systems", "Foods", "Labs", "Media", "Motors", "Health", "Energy", "Software", "Logistics")
_FORMS = ("Inc.", "Ltd", "GmbH", "S.A.", "LLC", "B.V.")


def match(store: str, n: int, seed: int) -> Run:
    """Look up and climb for customers of whom half are known by e-mail, a quarter by domain and name, a quarter not."""
    ladder = Ladder.of(IdentityPart())
    with arena(store) as place:
        database = Database(place.store)
        migrate(database)
        directory = SqlDirectory(database)
        now = datetime(2026, 1, 1, tzinfo=UTC)
        scan = Scan(system=_SYSTEM, object=_OBJECT, started_at=now)
        records = _records(n)
        while page := list(islice(records, _PAGE)):
            entries = [DirectoryEntry(record=record, keys=ladder.reader.record(record).keys()) for record in page]
            directory.keep_page(scan, entries, now=now)
        directory.finish_scan(msgspec.structs.replace(scan, complete_at=now))
        latencies, verdicts = _decide(ladder, directory, n, random.Random(seed))
        database.close()
    if verdicts["Matched"] < DECISIONS // 2:
        raise InvariantBroken(f"The benchmark measured something else than matching: {dict(verdicts)}.")
    return Run(value=1000 * sorted(latencies)[len(latencies) // 2], latencies_s=latencies)


def _decide(ladder: Ladder, directory: SqlDirectory, n: int, dice: random.Random) -> tuple[list[float], Counter[str]]:
    latencies: list[float] = []
    verdicts: Counter[str] = Counter()
    for number in range(DECISIONS):
        customer = _customer(dice.randrange(n), number % 4)
        started = time.perf_counter()
        found = directory.lookup(_SYSTEM, _OBJECT, ladder.keys_of(customer))
        verdict = ladder.climb(customer, found.records, crowded=found.crowded)
        latencies.append(time.perf_counter() - started)
        verdicts[type(verdict).__name__] += 1
    return latencies, verdicts


def _records(n: int) -> Iterator[Candidate]:
    """Records with the company's website, a person's e-mail and a phone; names repeat, as they do."""
    for number in range(n):
        yield Candidate(
            system=_SYSTEM,
            object=_OBJECT,
            id=f"001{number:015d}",
            name=_name(number),
            emails=(f"office@{_domain(number)}",),
            domains=(_domain(number),),
            phones=(f"+1 415 {number:07d}",),
            postcode=f"{number % 90_000 + 10_000}",
            country="US",
        )


def _customer(number: int, kind: int) -> Subject:
    email = {0: f"Office@{_domain(number)}", 1: f"office@{_domain(number)}", 2: f"ap@{_domain(number)}"}.get(
        kind, f"person{number}@gmail.com"
    )
    return Subject(
        account_id=f"acc_{number}", external_id=f"cus_{number}", name=_name(number), emails=(email,), country="US"
    )


def _name(number: int) -> str:
    first, rest = _FIRST[number % 12], number // 12
    second, rest = _SECOND[rest % 12], rest // 12
    third, rest = _THIRD[rest % 10], rest // 10
    return f"{first}{second} {third} {rest} {_FORMS[number % 6]}"


def _domain(number: int) -> str:
    return f"company-{number}.com"
