"""Ledger documents as Tryton holds them: native invoices and moves under our key, with everything a mapping may name.
Guarantees that a document counts as settled only where Tryton knows it too, and that a void by hand is seen.
Next: documents.py, which writes what is missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

import msgspec

from accordant.canonical.documents import DocumentLine, spell_lines
from accordant.canonical.intents import WireValue
from accordant.canonical.targets import CurrentRecord, ObjectSpec
from accordant.connectors.sdk.ledger_documents import OUR_KEYS, read_tag, untagged
from accordant.connectors.tryton import marks
from accordant.connectors.tryton.lines import LINE_FIELDS, document_line
from accordant.connectors.tryton.lookups import Lookups
from accordant.connectors.tryton.records import INVOICE, KEY_FIELD, MOVE
from accordant.connectors.tryton.rpc import PAGE, Rpc
from accordant.connectors.tryton.wire import Json

LINE, INVOICE_LINE, INVOICE_TAX = "account.move.line", "account.invoice.line", "account.invoice.tax"
_WHO = ("write_date", "create_date", "write_uid.login", "create_uid.login", "number", "state")
_INVOICE = (
    *_WHO, "reference", "company.party.name", "company.currency.code", "invoice_date", "accounting_date",
    "payment_term_date", "currency.code", "description", "account.code", "move", "cancel_move.origin",
    "total_amount", "amount_to_pay", *(f"party.{name}" for name in marks.KEY_FIELDS),
)  # fmt: skip
_MOVE = (*_WHO, "description", "company.party.name", "company.currency.code", "date", "origin", "journal.code")
_LINES = (*LINE_FIELDS, "account.type.receivable", "invoice_payment.reference", "invoice_payment.amount_to_pay")


class Place(NamedTuple):
    """Which record a document is: its model and Tryton's own id."""

    model: str
    id: int

    def __str__(self) -> str:
        return f"{self.model},{self.id}"


def place_of(text: str | None) -> Place | None:
    """The record that Tryton's own spelling of a reference names; None where it names none."""
    model, _, number = (text or "").partition(",")
    return Place(model, int(number)) if number.isdecimal() and int(number) > 0 else None


def document_place(target_id: str) -> Place | None:
    """The document that a target id names; None where it is none of a document."""
    place = place_of(target_id)
    return place if place is not None and place.model in KEY_FIELD else None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One document in Tryton. ``move`` is that of its books, None for a draft of an invoice; ``lines`` are Tryton's.

    ``origin`` is what it pays, lowers or cancels as far as its own record says.
    """

    place: Place
    key: str | None
    row: dict[str, Json]
    move: int | None
    state: str
    lines: tuple[dict[str, Json], ...]
    described: dict[str, str | None]
    origin: Place | None
    cancels: str | None
    is_void: bool

    @property
    def currency(self) -> str:
        """That of the books."""
        return str(self.row["company."]["currency."]["code"])

    @property
    def owed(self) -> tuple[dict[str, Json], ...]:
        """The lines on what customers owe."""
        return tuple(line for line in self.lines if is_receivable(line))

    @property
    def number(self) -> str | None:
        """Under which people find it."""
        return self.row.get("number")


def is_receivable(line: Mapping[str, Json]) -> bool:
    """Whether a line is of an account of receivables."""
    return bool((line["account."].get("type.") or {}).get("receivable"))


def balance(lines: Iterable[Mapping[str, Json]]) -> Decimal:
    """Debits less credits, in the currency of the books."""
    return sum((line["debit"] - line["credit"] for line in lines), Decimal(0))


class Reading:
    """Reads documents of one connection."""

    def __init__(self, rpc: Rpc, lookups: Lookups, *, revenue_journal: str) -> None:
        """``revenue_journal`` is the code of the journal of invoices."""
        self._rpc = rpc
        self._lookups = lookups
        self._revenue_journal = revenue_journal

    async def by_key(self, keys: Sequence[str]) -> dict[str, Held]:
        """Documents under these keys, whatever Tryton calls them. Of several under one key the posted one that nobody
        cancelled is taken, then the oldest: a person who copies an invoice copies its reference.
        """
        if not keys:
            return {}
        invoices = await self._find(INVOICE, [[KEY_FIELD[INVOICE], "in", list(keys)], ["type", "=", "out"]])
        moves = await self._find(MOVE, [[KEY_FIELD[MOVE], "in", list(keys)]])
        found: dict[str, Held] = {}
        for one in sorted(await self._held(invoices, moves), key=_standing):
            if one.key is not None:
                found.setdefault(one.key, one)
        return found

    async def at(self, places: Iterable[Place]) -> dict[Place, Held]:
        """Documents by their place; one that was deleted is absent."""
        ids: dict[str, list[int]] = {INVOICE: [], MOVE: []}
        for place in places:
            if place.model in ids:
                ids[place.model].append(place.id)
        invoices = await self._find(INVOICE, [["id", "in", ids[INVOICE]]]) if ids[INVOICE] else []
        moves = await self._find(MOVE, [["id", "in", ids[MOVE]]]) if ids[MOVE] else []
        return {one.place: one for one in await self._held(invoices, moves)}

    async def keyless(self, places: Iterable[Place]) -> frozenset[Place]:
        """Which of these are there without a key of ours: a person's own reference may stand where it was."""
        held = await self.at(places)
        return frozenset(place for place, one in held.items() if not (one.key or "").startswith(OUR_KEYS))

    async def document_of(self, object_name: str, name: str) -> str | None:
        """Our key of the document that a line, a move or an invoice of Tryton's is of, by its id or its number."""
        if object_name == LINE:
            rows = await self._more(LINE, [["id", "=", int(name)]], ("move",)) if name.isdecimal() else []
            return await self._key_of_move([row["move"] for row in rows])
        if object_name not in KEY_FIELD:
            return None
        column = ["id", "=", int(name)] if name.isdecimal() else ["number", "=", name]
        domain: list[Json] = [column, ["type", "=", "out"]] if object_name == INVOICE else [column]
        rows = await self._more(object_name, domain, (KEY_FIELD[object_name],))
        if object_name == MOVE:
            return await self._key_of_move([row["id"] for row in rows])
        return next((key for row in rows if (key := row[KEY_FIELD[INVOICE]] or "").startswith(OUR_KEYS)), None)

    async def _key_of_move(self, moves: list[int]) -> str | None:
        """The key of a move: its own, or that of the native invoice that made it."""
        if not moves:
            return None
        rows = await self._more(MOVE, [["id", "in", moves]], (KEY_FIELD[MOVE],))
        rows += await self._more(INVOICE, [["move", "in", moves]], (KEY_FIELD[INVOICE],))
        keys = [row.get(KEY_FIELD[MOVE]) or row.get(KEY_FIELD[INVOICE]) or "" for row in rows]
        return next((key for key in keys if key.startswith(OUR_KEYS)), None)

    async def all(self, object_name: str) -> AsyncIterator[Held]:
        """Every document with a key of ours that belongs to an object, page by page.

        An invoice that had to be written as a move stands in the journal of revenue; a native one that cancels another
        belongs to the moves.
        """
        last = 0
        pattern = f"{OUR_KEYS}%"
        while rows := await self._find(INVOICE, [[KEY_FIELD[INVOICE], "like", pattern], ["id", ">", last]], PAGE):
            for one in await self._held(rows, []):
                if (one.cancels is None) is (object_name == INVOICE):
                    yield one
            last = rows[-1]["id"]
        last = 0
        while rows := await self._find(MOVE, [[KEY_FIELD[MOVE], "like", pattern], ["id", ">", last]], PAGE):
            for one in await self._held([], rows):
                if (one.row["journal."]["code"] == self._revenue_journal) is (object_name == INVOICE):
                    yield one
            last = rows[-1]["id"]

    async def record(self, spec: ObjectSpec, held: Held) -> CurrentRecord:
        """A document in the fields of a mapping."""
        row = held.row
        posted = {"paid": "posted", "validated": "draft", "cancelled": "posted"}
        state = "cancelled" if held.is_void else posted.get(held.state, held.state)
        fields: dict[str, WireValue] = {
            "company": row["company."]["party."]["name"],
            "date": _text(row.get("date") or row.get("accounting_date") or row.get("invoice_date")),
            "due_date": self._due(held),
            "party": _party(held),
            "currency": _deal_currency(held),
            "description": row.get("description") if held.place.model == INVOICE else _words(held),
            "lines": spell_lines(_document_lines(held)),
            "settles": await self._settles(held),
            "reverses": None if held.place.model == MOVE and await self.still_open(held) else held.cancels,
            "state": state,
        }
        user = row.get("write_uid.") or row.get("create_uid.")
        return CurrentRecord(
            target_id=str(held.place),
            fields={name: fields[name] for name in spec.fields if name in fields},
            changed_at=row.get("write_date") or row.get("create_date"),
            changed_by=user["login"] if user else None,
        )

    @staticmethod
    def _due(held: Held) -> str | None:
        """A due date that is the day itself is none; what cancels is due when it was made."""
        day = held.row.get("date") or held.row.get("accounting_date") or held.row.get("invoice_date")
        if held.move is None:
            due = held.row.get("payment_term_date")
        else:
            due = max((line["maturity_date"] for line in held.owed if line["maturity_date"]), default=None)
        return None if held.cancels is not None or due == day else _text(due)

    async def _settles(self, held: Held) -> str | None:
        """The key of the document that this one pays or lowers, once Tryton knows that it does."""
        for line in held.owed:
            if (paid := line.get("invoice_payment.")) is not None:
                whole = line["reconciliation"] is not None or paid["amount_to_pay"] != 0
                return paid["reference"] if whole else None
        if held.origin is None or held.cancels is not None:
            return None
        found = (await self.at([held.origin])).get(held.origin)
        if found is None:
            return None
        if held.origin.model == INVOICE:
            return None if payable(found, held.owed) else found.key
        group = await self.open_group(found)
        return None if group and balance(group) == 0 else found.key

    async def open_group(self, settled: Held) -> list[dict[str, Json]]:
        """The lines of a move on what is owed, and of every move that pays it, so far as they are not reconciled."""
        paying = await self._find(MOVE, [["origin", "=", str(settled.place)], ["state", "=", "posted"]])
        lines = [*settled.owed, *(line for one in await self._held([], paying) for line in one.owed)]
        return [line for line in lines if line["reconciliation"] is None]

    async def still_open(self, cancelling: Held) -> list[dict[str, Json]]:
        """The lines of a cancelling move and of the cancelled one that are to be reconciled and are not yet."""
        if cancelling.cancels is None or cancelling.origin is None or not cancelling.owed:
            return []
        cancelled = (await self.at([cancelling.origin])).get(cancelling.origin)
        lines = [line for one in (cancelled, cancelling) if one is not None for line in one.owed]
        lines = [line for line in lines if line["reconciliation"] is None]
        return lines if len(lines) > 1 and balance(lines) == 0 else []

    # -- gathering -----------------------------------------------------------------------------------------------------

    async def _find(self, model: str, domain: list[Json], limit: int | None = None) -> list[dict[str, Json]]:
        fields = _INVOICE if model == INVOICE else _MOVE
        return await self._rpc.find(model, domain, fields, context=await self._lookups.context(), limit=limit)

    async def _held(self, invoices: list[dict[str, Json]], moves: list[dict[str, Json]]) -> list[Held]:
        if not invoices and not moves:
            return []
        ids = [row["id"] for row in moves] + [row["move"] for row in invoices if row["move"] is not None]
        lines: dict[int, list[dict[str, Json]]] = {one: [] for one in ids}
        for line in await self._more(LINE, [["move", "in", ids]], _LINES):
            lines[line["move"]].append(line)
        described = await self._described([row["id"] for row in invoices])
        cancelled = await self._cancelled(ids)
        undone = await self._undone_by_hand(moves) | await self._voided_by_hand(invoices)
        found = [_held_invoice(row, lines, described, cancelled, undone) for row in invoices]
        cancelled |= await self._reversed(moves, lines)
        return found + [_held_move(row, lines, cancelled, undone) for row in moves]

    async def _described(self, invoices: list[int]) -> dict[str, dict[str, Json]]:
        """The lines and taxes of native invoices by reference: their words are not on the lines of the move."""
        if not invoices:
            return {}
        domain = [["invoice", "in", invoices]]
        fields = ("invoice", "description", "amount", "account.code")
        listed = await self._more(INVOICE_LINE, domain, fields)
        taxes = await self._more(INVOICE_TAX, domain, fields)
        return {f"{INVOICE_LINE},{row['id']}": row for row in listed} | {
            f"{INVOICE_TAX},{row['id']}": row for row in taxes
        }

    async def _cancelled(self, moves: list[int]) -> dict[int, str | None]:
        """Which of these moves cancels a native invoice, and the key of that one."""
        rows = await self._more(INVOICE, [["cancel_move", "in", moves]], ("cancel_move", "reference"))
        return {row["cancel_move"]: row["reference"] for row in rows}

    async def _reversed(
        self, moves: list[dict[str, Json]], lines: Mapping[int, list[dict[str, Json]]]
    ) -> dict[int, str | None]:
        """Which of these moves cancels another, as Tryton says it: by lines that name lines. The key of that one."""
        naming = {
            row["id"]: origin
            for row in moves
            if (origin := place_of(row["origin"])) is not None
            and any((line["origin"] or "").startswith(f"{LINE},") for line in lines[row["id"]])
        }
        keys: dict[Place, str | None] = {}
        for model in {origin.model for origin in naming.values()} & KEY_FIELD.keys():
            ids = sorted({origin.id for origin in naming.values() if origin.model == model})
            for row in await self._more(model, [["id", "in", ids]], (KEY_FIELD[model],)):
                keys[Place(model, row["id"])] = row[KEY_FIELD[model]]
        return {move: keys.get(origin) for move, origin in naming.items()}

    async def _voided_by_hand(self, invoices: list[dict[str, Json]]) -> frozenset[str]:
        """Which of these invoices somebody cancelled in Tryton: what cancels them has no key of ours."""
        voids = {
            row["id"]: place_of((row.get("cancel_move.") or {}).get("origin"))
            for row in invoices
            if row["state"] == "cancelled"
        }
        ids = sorted({place.id for place in voids.values() if place is not None and place.model == INVOICE})
        rows = await self._more(INVOICE, [["id", "in", ids]], ("reference",)) if ids else []
        ours = {row["id"] for row in rows if (row["reference"] or "").startswith(OUR_KEYS)}
        return frozenset(f"{INVOICE},{one}" for one, place in voids.items() if place is None or place.id not in ours)

    async def _undone_by_hand(self, moves: list[dict[str, Json]]) -> frozenset[str]:
        """Which of these moves somebody cancelled in Tryton: the move that cancels it has no key of ours."""
        names = [f"{MOVE},{row['id']}" for row in moves]
        if not names:
            return frozenset()
        rows = await self._more(MOVE, [["origin", "in", names], ["state", "=", "posted"]], ("origin", "description"))
        return frozenset(row["origin"] for row in rows if not (row["description"] or "").startswith(OUR_KEYS))

    async def _more(self, model: str, domain: list[Json], fields: Sequence[str]) -> list[dict[str, Json]]:
        return await self._rpc.find(model, domain, fields, context=await self._lookups.context(), limit=None)


def _standing(held: Held) -> tuple[bool, bool, bool, int]:
    return held.is_void, held.state == "draft", held.place.model == MOVE, held.place.id


def payable(invoice: Held, owed: Sequence[Mapping[str, Json]]) -> list[int]:
    """The lines that Tryton would take as payment of a native invoice: those against it that pay nothing yet."""
    against_debit = invoice.row["total_amount"] >= 0
    return [
        line["id"]
        for line in owed
        if line["reconciliation"] is None
        and line.get("invoice_payment.") is None
        and line["account."]["code"] == invoice.row["account."]["code"]
        and (line["debit"] == 0 if against_debit else line["credit"] == 0)
    ]


def _held_invoice(
    row: dict[str, Json],
    lines: Mapping[int, list[dict[str, Json]]],
    described: Mapping[str, dict[str, Json]],
    cancelled: Mapping[int, str | None],
    undone: frozenset[str],
) -> Held:
    place = Place(INVOICE, row["id"])
    own = {name: part for name, part in described.items() if part["invoice"] == row["id"]}
    return Held(
        place=place,
        key=row["reference"],
        row=row,
        move=row["move"],
        state=row["state"],
        lines=tuple(lines[row["move"]]) if row["move"] is not None else tuple(_drafted(row, own)),
        described={name: part["description"] for name, part in own.items()},
        origin=None,
        cancels=cancelled.get(row["move"]) if row["move"] is not None else None,
        is_void=str(place) in undone,
    )


def _drafted(row: Mapping[str, Json], parts: Mapping[str, Mapping[str, Json]]) -> list[dict[str, Json]]:
    """The lines that a draft of an invoice is going to make."""
    empty: dict[str, Json] = {"reconciliation": None, "maturity_date": None, "second_currency.": None, "party.": None}
    made = []
    for name, part in parts.items():
        if name.startswith(f"{INVOICE_TAX},") and not part["amount"]:
            continue  # a tax of nothing is listed on the draft and makes no line of the move
        account = {**part["account."], "type.": {"receivable": False}}
        made.append({**empty, **_sides(-part["amount"]), "account.": account, "origin": name, "description": None})
    owed: dict[str, Json] = {"account.": {**row["account."], "type.": {"receivable": True}}, "party.": row["party."]}
    made.append({**empty, **_sides(row["total_amount"]), **owed, "origin": None, "description": None})
    return made


def _sides(amount: Decimal) -> dict[str, Json]:
    return {"debit": max(amount, Decimal(0)), "credit": max(-amount, Decimal(0))}


def _held_move(
    row: dict[str, Json],
    lines: Mapping[int, list[dict[str, Json]]],
    cancelled: Mapping[int, str | None],
    undone: frozenset[str],
) -> Held:
    place = Place(MOVE, row["id"])
    return Held(
        place=place,
        key=row["description"],
        row=row,
        move=row["id"],
        state=row["state"],
        lines=tuple(lines[row["id"]]),
        described={},
        origin=place_of(row["origin"]),
        cancels=cancelled.get(row["id"]),
        is_void=str(place) in undone,
    )


def _document_lines(held: Held) -> list[DocumentLine]:
    return [
        document_line(
            line,
            description=held.described.get(line["origin"] or "", line["description"]),
            currency=held.currency,
            receivable=is_receivable(line),
        )
        for line in held.lines
    ]


def _party(held: Held) -> str | None:
    """The customer: of an invoice its own, of a move the first that a line names."""
    if held.place.model == INVOICE:
        return marks.named(held.row["party."])
    named = [
        marks.named(line["party."]) if line["party."] else read_tag(line["description"]).get("party")
        for line in held.lines
    ]
    return next((name for name in named if name is not None), None)


def _words(held: Held) -> str | None:
    """What a move in the place of an invoice is called: the words before the facts on one of its lines."""
    return next((words for line in held.lines if (words := untagged(line["description"]).strip())), None)


def _deal_currency(held: Held) -> str:
    if held.place.model == INVOICE:
        return str(held.row["currency."]["code"])
    other = next((line["second_currency."]["code"] for line in held.lines if line["second_currency."]), None)
    return other or held.currency


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
