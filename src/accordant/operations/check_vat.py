"""Ask the register about customers' value-added tax numbers, keep what it said, and let the gates that want it know.

No answer is never taken for one: an earlier answer stands until its gate calls it too old, and where there is none the
check is pending, which holds. Next: `clear.py`.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from accordant.canonical.charter import Charter
from accordant.canonical.clearances import CheckKind, CheckStatus, Clearance
from accordant.canonical.entities import Account
from accordant.canonical.vat import Consultation, Remedy, VatAnswer, VatNumber, VatVerdict
from accordant.identity.vat import NotAsked, vat_number
from accordant.kernel.clock import Clock
from accordant.kernel.errors import ConfigurationError, RejectedError
from accordant.ports.audit import AuditEntry
from accordant.ports.state import State
from accordant.ports.vat import VatBook, VatRegister

#: A country that gave no answer rests this long, twice as long after each further time, and never longer than the last.
REST, REST_MAX = timedelta(minutes=10), timedelta(hours=6)
#: Farther back nobody looks for how often a country gave no answer.
_REST_WINDOW = timedelta(days=1)
_AT_ONCE = 500
#: How evidence of the register begins.
REGISTER = "EU register"

#: What an unanswered question means to the reader, where time does not mend it.
_PERSONS = {
    "VAT_BLOCKED": "The register has blocked the company's own number: write to the Commission.",
    "IP_BLOCKED": "The register has blocked this hub's address: write to the Commission.",
    "INVALID_REQUESTER_INFO": "The register does not take vat.requester: correct it in the charter.",
    "INVALID_INPUT": "The register does not take the number as it is written: ask the customer.",
}


class VatCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one customer: the answers, the numbers that were not asked, and the finding the gates now see.

    ``finding`` is None where an earlier one stands.
    """

    account_id: str
    answers: tuple[VatAnswer, ...]
    not_asked: tuple[NotAsked, ...]
    finding: Clearance | None


class VatRound(msgspec.Struct, frozen=True, kw_only=True):
    """What came of everybody whose answer was missing or old. ``for_persons`` are codes that no waiting mends."""

    due: int
    valid: int
    invalid: int
    unknown: int
    resting: int
    for_persons: tuple[str, ...]


class VatDesk:
    """Asks, for one hub."""

    def __init__(
        self,
        register: VatRegister,
        book: VatBook,
        state: State,
        *,
        charter: Charter,
        everybody: Callable[[], Sequence[str]],
        clear: Callable[[Clearance], None],
        clock: Clock,
    ) -> None:
        """Raises ConfigurationError where the charter does not switch the register on, or no gate asks for it."""
        if charter.vat is None or all(gate.check is not CheckKind.VAT for gate in charter.gates):
            raise ConfigurationError(
                "The charter has no part vat, or no gate that asks for it, so an answer would change nothing.",
                remedy="Add `vat: {requester: YOUR_NUMBER}` and a gate with `check: vat`.",
            )
        self._register = register
        self._book = book
        self._state = state
        self._recheck = timedelta(days=charter.vat.recheck_days)
        self._everybody = everybody
        self._clear = clear
        self._clock = clock

    async def check(self, account_id: str, *, actor: str, number: str = "") -> VatCheck:
        """Ask about one customer now: about ``number``, or about all numbers billing has of it.

        Raises RejectedError where there is none to ask about.
        """
        numbers, not_asked = _sorted_out((number,) if number else self._numbers_of([account_id]).get(account_id, ()))
        if not numbers and not not_asked:
            raise RejectedError(
                f"Billing keeps no tax number of {account_id}.",
                remedy="Give it with --number, or record it in billing.",
            )
        answers = [await self._ask(account_id, one, actor) for one in numbers]
        return await self._conclude(account_id, answers, not_asked, actor)

    async def check_due(self, *, actor: str) -> VatRound:
        """Ask about everybody whose answer is missing or old: one question at a time in each country.

        A country that gives no answer is left alone until its rest is over; so are all where the register gives none.
        """
        now = self._clock()
        resting = resting_countries(self._book.unanswered(since=now - _REST_WINDOW), now=now)
        due = await asyncio.to_thread(self._due, now)
        queues: dict[str, list[tuple[str, VatNumber]]] = {}
        left = 0
        for account_id, one in due:
            if one.country in resting:
                left += 1
            else:
                queues.setdefault(one.country, []).append((account_id, one))
        stop = asyncio.Event()
        answered = await asyncio.gather(*(self._walk(queue, actor, stop) for queue in queues.values()))
        found = [answer for answers in answered for answer in answers]
        await self._conclude_all(found, actor)
        counted = [answer.verdict for _, answer in found]
        return VatRound(
            due=len(due),
            valid=counted.count(VatVerdict.VALID),
            invalid=counted.count(VatVerdict.INVALID),
            unknown=counted.count(VatVerdict.UNKNOWN),
            resting=left + sum(map(len, queues.values())) - len(found),
            for_persons=tuple(sorted({one.code for _, one in found if one.remedy is Remedy.PERSON})),
        )

    async def _walk(
        self, queue: Sequence[tuple[str, VatNumber]], actor: str, stop: asyncio.Event
    ) -> list[tuple[str, VatAnswer]]:
        """One country's queue, until it gives no answer or the whole register gives none."""
        answers: list[tuple[str, VatAnswer]] = []
        for account_id, one in queue:
            if stop.is_set():
                break
            answer = await self._ask(account_id, one, actor)
            answers.append((account_id, answer))
            if answer.everywhere:
                stop.set()
            if answer.remedy is Remedy.TIME:
                break
        return answers

    async def _ask(self, account_id: str, number: VatNumber, actor: str) -> VatAnswer:
        answer = await self._register.ask(number, now=self._clock())
        kept = Consultation(account_id=account_id, asked_by=actor, answer=answer)
        await asyncio.to_thread(self._book.keep, kept, entry=_entry(kept))
        return answer

    async def _conclude_all(self, found: Sequence[tuple[str, VatAnswer]], actor: str) -> None:
        """Tell the gates of each customer that was asked about, by the newest answers to all of its numbers."""
        ids = list(dict.fromkeys(account_id for account_id, _ in found))
        kept = await asyncio.to_thread(self._book.newest, ids)
        for account_id, texts in self._numbers_of(ids).items():
            numbers, not_asked = _sorted_out(texts)
            answers = [kept[account_id][one].answer for one in numbers if one in kept.get(account_id, {})]
            if len(answers) == len(numbers):
                await self._conclude(account_id, answers, not_asked, actor)

    async def _conclude(
        self, account_id: str, answers: Sequence[VatAnswer], not_asked: Sequence[NotAsked], actor: str
    ) -> VatCheck:
        now = self._clock()
        standing = self._state.clearances([account_id]).get(account_id, {}).get(CheckKind.VAT)
        once = await asyncio.to_thread(self._book.newest, [account_id], answered=True)
        finding = conclude(
            account_id,
            answers,
            not_asked,
            standing=standing,
            answered_once=frozenset(once.get(account_id, {})),
            actor=actor,
            now=now,
        )
        if finding is not None:
            await asyncio.to_thread(self._clear, finding)
        return VatCheck(account_id=account_id, answers=tuple(answers), not_asked=tuple(not_asked), finding=finding)

    def _due(self, now: datetime) -> list[tuple[str, VatNumber]]:
        everybody = self._everybody()
        due: list[tuple[str, VatNumber]] = []
        for start in range(0, len(everybody), _AT_ONCE):
            ids = everybody[start : start + _AT_ONCE]
            kept = self._book.newest(ids)
            for account_id, texts in self._numbers_of(ids).items():
                of_it = kept.get(account_id, {})
                due += [(account_id, one) for one in _sorted_out(texts)[0] if self._is_due(of_it.get(one), now)]
        return due

    def _is_due(self, kept: Consultation | None, now: datetime) -> bool:
        return kept is None or kept.answer.remedy is Remedy.TIME or now - kept.answer.asked_at >= self._recheck

    def _numbers_of(self, account_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        stored = self._state.entities(account_ids)
        return {
            name: one.entity.tax_ids
            for name, one in stored.items()
            if isinstance(one.entity, Account) and one.entity.tax_ids and not one.entity.deleted
        }


def conclude(
    account_id: str,
    answers: Sequence[VatAnswer],
    not_asked: Sequence[NotAsked],
    *,
    standing: Clearance | None,
    answered_once: Collection[VatNumber],
    actor: str,
    now: datetime,
) -> Clearance | None:
    """The finding that follows, None where what stands is to stand. Every number has to be valid for a pass.

    One invalid number is a no. Where some answer is missing nothing is found: an earlier answer to the same numbers
    (``answered_once``) stands, since an outage of the register takes nothing back; so does what a person recorded on
    other evidence. Without either the check is pending.
    """
    invalid = [one for one in answers if one.verdict is VatVerdict.INVALID]
    unknown = [one for one in answers if one.verdict is VatVerdict.UNKNOWN]
    if invalid:
        status, shown = CheckStatus.FAILED, invalid
        reason = f"The register does not know {_counted(len(invalid))} of {invalid[0].asked.country}"
    elif unknown or not_asked or not answers:
        status, shown = CheckStatus.PENDING, unknown
        reason = _why_pending(unknown, not_asked)
        if standing is not None and _stands(standing, reason, unknown, not_asked, answered_once):
            return None
    else:
        status, shown, reason = CheckStatus.PASSED, list(answers), ""
    return Clearance(
        account_id=account_id,
        check=CheckKind.VAT,
        status=status,
        evidence=evidence_of(shown),
        checked_at=min((one.asked_at for one in shown), default=now),
        recorded_by=actor,
        recorded_at=now,
        reason=reason,
    )


def _stands(
    standing: Clearance,
    reason: str,
    unknown: Sequence[VatAnswer],
    not_asked: Sequence[NotAsked],
    answered_once: Collection[VatNumber],
) -> bool:
    """Whether what was found before still says as much: of these numbers, on other evidence, or the same again."""
    if standing.status is CheckStatus.PENDING:
        return standing.reason == reason
    if not standing.evidence.startswith(REGISTER):
        return True
    return not not_asked and all(one.asked in answered_once for one in unknown)


def evidence_of(answers: Iterable[VatAnswer]) -> str:
    """What a finding rests on: the register's own consultation number, else the digest of its answer."""
    named = [
        f"{REGISTER} {one.consultation}"
        if one.consultation
        else f"{REGISTER} answer {one.digest[:16]}"
        if one.digest
        else f"{REGISTER}, no answer"
        for one in answers
    ]
    return ", ".join(named[:4]) or f"{REGISTER}, not asked"


def resting_countries(unanswered: Mapping[str, tuple[datetime, int]], *, now: datetime) -> frozenset[str]:
    """The countries that are left alone now: the rest doubles with each question in a row that had no answer."""
    return frozenset(
        country
        for country, (asked_at, times) in unanswered.items()
        if now < asked_at + min(REST * 2 ** min(times - 1, 16), REST_MAX)
    )


def told_of_vat(found: VatRound) -> str:
    """What a round came to, in a sentence or two."""
    if not found.due:
        return "Every number that can be asked about has an answer that is new enough."
    told = (
        f"{found.due:,} numbers were due: {found.valid:,} valid, {found.invalid:,} invalid, {found.unknown:,} without"
        f" an answer, {found.resting:,} left for later."
    )
    return " ".join((told, *(person_needed(code) for code in found.for_persons)))


def person_needed(code: str) -> str:
    """What a person has to do about a code that no waiting mends."""
    return _PERSONS.get(code, f"The register answered {code}.")


def _why_pending(unknown: Sequence[VatAnswer], not_asked: Sequence[NotAsked]) -> str:
    if not_asked:
        return f"{not_asked[0].because} {not_asked[0].next_action}"
    first = unknown[0]
    if first.remedy is Remedy.PERSON:
        return person_needed(first.code)
    return f"The register gave no answer ({first.code}); it is asked again by itself."


def _counted(count: int) -> str:
    return "the number" if count == 1 else f"{count} numbers"


def _sorted_out(texts: Iterable[str]) -> tuple[tuple[VatNumber, ...], tuple[NotAsked, ...]]:
    read = [vat_number(text) for text in dict.fromkeys(texts)]
    numbers = dict.fromkeys(one for one in read if isinstance(one, VatNumber))
    return tuple(numbers), tuple(one for one in read if isinstance(one, NotAsked))


def _entry(asked: Consultation) -> AuditEntry:
    answer = asked.answer
    return AuditEntry(
        kind="compliance.vat.asked",
        actor=asked.asked_by,
        subject=f"account/{asked.account_id}",
        cause=None,
        at=answer.asked_at,
        body={
            "country": answer.asked.country,
            "verdict": answer.verdict.value,
            "code": answer.code,
            "consultation": answer.consultation,
            "digest": answer.digest,
        },
    )
