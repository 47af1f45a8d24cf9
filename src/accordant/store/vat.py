"""Consultations on SQL: insert-only rows; the number and what the register says of its holder are sealed."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import func, select

from accordant.canonical.vat import Consultation, Remedy, VatAnswer, VatNumber, VatVerdict
from accordant.kernel.clock import from_micros, to_micros
from accordant.ports.audit import AuditEntry
from accordant.store import audit, bulk
from accordant.store.engine import Database
from accordant.store.schema_vat import vat_consultation
from accordant.store.vault import KeyDestroyed, Vault

_COLUMNS = (
    "account_id",
    "country",
    "verdict",
    "code",
    "remedy",
    "requester",
    "consultation",
    "answered_on",
    "digest",
    "asked_by",
    "asked_at",
    "key_id",
    "body",
)


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    """What of an answer is about its holder."""

    number: str
    name: str
    address: str


class SqlVatBook:
    """`ports.vat.VatBook` on a database."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    def keep(self, asked: Consultation, *, entry: AuditEntry) -> None:
        """See the port."""
        answer = asked.answer
        key_id = self._vault.current_key(answer.asked_at)
        plain = msgspec.json.encode(_Sealed(answer.asked.number, answer.name, answer.address))
        at = to_micros(answer.asked_at)
        row = (
            asked.account_id,
            answer.asked.country,
            answer.verdict.value,
            answer.code,
            None if answer.remedy is None else answer.remedy.value,
            answer.requester,
            answer.consultation,
            answer.answered_on,
            answer.digest,
            asked.asked_by,
            at,
            key_id,
            self._vault.seal(key_id, plain, _context(asked.account_id, at)),
        )
        with self._database.write() as connection:
            bulk.insert(connection, vat_consultation, _COLUMNS, [row])
            audit.append(connection, [entry], now=entry.at)

    def newest(self, account_ids: Iterable[str], *, answered: bool = False) -> dict[str, dict[VatNumber, Consultation]]:
        """See the port."""
        with self._database.read() as connection:
            rows = bulk.select_by_keys(connection, vat_consultation, ("id", *_COLUMNS), "account_id", account_ids)
        found: dict[str, dict[VatNumber, Consultation]] = {}
        for _, *row in sorted(rows, key=lambda one: int(one[0])):
            kept = self._opened(tuple(row))
            if kept is not None and not (answered and kept.answer.verdict is VatVerdict.UNKNOWN):
                found.setdefault(kept.account_id, {})[kept.answer.asked] = kept
        return found

    def unanswered(self, *, since: datetime) -> dict[str, tuple[datetime, int]]:
        """See the port."""
        table = vat_consultation.c
        start = to_micros(since)
        unknown = (table.verdict == VatVerdict.UNKNOWN.value) & (table.remedy == Remedy.TIME.value)
        answered = select(table.country, func.max(table.asked_at).label("at")).where(
            table.asked_at >= start, table.verdict != VatVerdict.UNKNOWN.value
        )
        failed = select(table.country, table.asked_at).where(table.asked_at >= start, unknown)
        with self._database.read() as connection:
            last = {row.country: row.at for row in connection.execute(answered.group_by(table.country))}
            rows = connection.execute(failed).all()
        counted: dict[str, tuple[int, int]] = {}
        for row in rows:
            if row.asked_at > last.get(row.country, -1):
                newest, count = counted.get(row.country, (0, 0))
                counted[row.country] = (max(newest, row.asked_at), count + 1)
        return {country: (from_micros(at), count) for country, (at, count) in counted.items()}

    def _opened(self, row: bulk.Row) -> Consultation | None:
        (
            account_id,
            country,
            verdict,
            code,
            remedy,
            requester,
            consultation,
            answered_on,
            digest,
            by,
            at,
            key_id,
            body,
        ) = row
        try:
            plain = self._vault.open(key_id, body, _context(account_id, at))
        except KeyDestroyed:
            return None
        holder = msgspec.json.decode(plain, type=_Sealed)
        return Consultation(
            account_id=account_id,
            asked_by=by,
            answer=VatAnswer(
                asked=VatNumber(country, holder.number),
                verdict=VatVerdict(verdict),
                asked_at=from_micros(at),
                requester=requester,
                code=code,
                remedy=None if remedy is None else Remedy(remedy),
                consultation=consultation,
                answered_on=answered_on,
                name=holder.name,
                address=holder.address,
                digest=digest,
            ),
        )


def _context(account_id: str, at: int) -> str:
    return f"vat/{account_id}/{at}"
