"""What the Stripe stand-in's API answers to a read: one object, a page newest first, and what was asked to be expanded.

A filter it does not know is refused, never ignored: a silently dropped filter would hide a bug of the reader.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from accordant.connectors.stripe.simulator_account import SimulatedAccount
from accordant.connectors.stripe.simulator_params import Params
from accordant.connectors.stripe.simulator_searching import SEARCHED, Searching
from accordant.connectors.stripe.simulator_state import EVENT_WINDOW_S, Record, SaidEvent, SimulatedRefusal
from accordant.connectors.stripe.simulator_versions import render

Test = Callable[[Record], bool]
T = TypeVar("T")

KINDS = {
    "balance_transactions": "balance_transaction",
    "charges": "charge",
    "coupons": "coupon",
    "credit_notes": "credit_note",
    "customers": "customer",
    "disputes": "dispute",
    "invoice_payments": "invoice_payment",
    "invoiceitems": "invoiceitem",
    "invoices": "invoice",
    "payment_intents": "payment_intent",
    "payment_methods": "payment_method",
    "payouts": "payout",
    "prices": "price",
    "products": "product",
    "refunds": "refund",
    "subscription_items": "subscription_item",
    "subscriptions": "subscription",
    "tax_rates": "tax_rate",
    "webhook_endpoints": "webhook_endpoint",
}
_EQUAL: dict[str, frozenset[str]] = {
    "balance_transaction": frozenset(("currency", "source", "type")),
    "charge": frozenset(("customer", "payment_intent")),
    "credit_note": frozenset(("customer", "invoice")),
    "customer": frozenset(("email",)),
    "dispute": frozenset(("charge", "payment_intent")),
    "invoice": frozenset(("customer", "subscription", "status", "collection_method")),
    "invoice_payment": frozenset(("invoice", "status")),
    "invoiceitem": frozenset(("customer", "invoice")),
    "payment_intent": frozenset(("customer",)),
    "payment_method": frozenset(("customer", "type")),
    "payout": frozenset(("status", "destination")),
    "price": frozenset(("product", "currency", "type", "active", "lookup_keys")),
    "product": frozenset(("active", "url", "ids")),
    "refund": frozenset(("charge", "payment_intent")),
    "subscription": frozenset(("customer", "collection_method")),
    "subscription_item": frozenset(("subscription",)),
    "tax_rate": frozenset(("active", "inclusive")),
}
_RANGES = frozenset(("created", "due_date", "arrival_date", "current_period_start", "current_period_end"))
_PAGING = frozenset(("limit", "starting_after", "ending_before", "expand"))
_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda have, want: have > want,
    "gte": lambda have, want: have >= want,
    "lt": lambda have, want: have < want,
    "lte": lambda have, want: have <= want,
}
_NAMED_KINDS = {
    "charge": "charge",
    "coupon": "coupon",
    "customer": "customer",
    "balance_transaction": "balance_transaction",
    "default_payment_method": "payment_method",
    "default_price": "price",
    "discounts": "discount",
    "invoice": "invoice",
    "latest_charge": "charge",
    "latest_invoice": "invoice",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
    "price": "price",
    "product": "product",
    "refund": "refund",
    "subscription": "subscription",
}
_ALWAYS_EMPTY = (
    "application",
    "default_source",
    "on_behalf_of",
    "pending_setup_intent",
    "quote",
    "schedule",
    "test_clock",
)
_SOURCE_KINDS = {"ch": "charge", "re": "refund", "po": "payout", "dp": "dispute"}
_ACCOUNT: Record = {
    "id": "acct_1Simulated",
    "object": "account",
    "charges_enabled": True,
    "country": "US",
    "default_currency": "usd",
    "details_submitted": True,
    "payouts_enabled": True,
    "type": "standard",
}
EXPAND_DEPTH_MAX = 4


class Reading:
    """The reads of one account, rendered in the version of the request."""

    def __init__(self, account: SimulatedAccount) -> None:
        self.account = account
        self.book = account.book
        self.searching = Searching(account.book)

    # single objects

    def one(self, path: str, version: str, expand: Iterable[str]) -> Record | None:
        """`GET /v1/customers/cus_1`, or None when the path names no kind of object."""
        parts = path.strip("/").split("/")[1:]
        if parts == ["balance"]:
            return self.account.balance()
        if parts == ["account"]:
            return dict(_ACCOUNT)
        if len(parts) != 2:
            return None
        if parts[0] == "events":
            return self._event(parts[1]).as_object()
        kind = KINDS.get(parts[0])
        if kind is None:
            return None
        gone = self.book.table("deleted_customer").get(parts[1]) if kind == "customer" else None
        return gone or self.shown(self.book.get(kind, parts[1]), version, expand)

    def _event(self, event_id: str) -> SaidEvent:
        event = self.book.events.get(event_id)
        if event is None or event.created < self.book.now - EVENT_WINDOW_S:
            raise SimulatedRefusal(404, f"No such event: '{event_id}'", code="resource_missing", param="id")
        return event

    def shown(self, record: Record, version: str, expand: Iterable[str]) -> Record:
        """The record in this version with the named references put in place of their ids."""
        answer = render(record, version)
        for path in expand:
            parts = path.split(".")
            if len(parts) > EXPAND_DEPTH_MAX:
                raise SimulatedRefusal(400, "You cannot expand more than 4 levels of a property.", param="expand")
            answer = self._expanded(answer, parts, version, path)
        return answer

    def _expanded(self, node: Any, parts: list[str], version: str, path: str) -> Any:
        if isinstance(node, list):
            return [self._expanded(entry, parts, version, path) for entry in node]
        if not parts or node is None:
            return node
        name, rest = parts[0], parts[1:]
        if not isinstance(node, dict):
            raise SimulatedRefusal(400, f"This property cannot be expanded ({path}).", param="expand")
        value = node[name] if name in node else self._extra(node, name, version, path)
        fetched = self._fetched(name, value, version, path) if not isinstance(value, dict) else value
        return {**node, name: self._expanded(fetched, rest, version, path) if rest else fetched}

    def _fetched(self, name: str, value: Any, version: str, path: str) -> Any:
        if value is None and name in (*_NAMED_KINDS, *_ALWAYS_EMPTY, "source"):
            return None
        if isinstance(value, list):
            return [self._fetched(name, entry, version, path) for entry in value]
        if isinstance(value, dict):
            return value
        kind = _SOURCE_KINDS.get(str(value).split("_", 1)[0]) if name == "source" else _NAMED_KINDS.get(name)
        if kind is None:
            raise SimulatedRefusal(400, f"This property cannot be expanded ({path}).", param="expand")
        found = self.book.table(kind).get(value) or self.book.table(f"deleted_{kind}").get(value)
        return value if found is None else render(found, version)

    def _extra(self, node: Record, name: str, version: str, path: str) -> Any:
        """Lists that exist only when asked for: refunds of a charge, subscriptions of a customer, and so on."""
        wanted = {
            ("charge", "refunds"): ("refund", "charge"),
            ("customer", "subscriptions"): ("subscription", "customer"),
            ("invoice", "payments"): ("invoice_payment", "invoice"),
        }.get((node.get("object", ""), name))
        if wanted is None:
            raise SimulatedRefusal(400, f"This property cannot be expanded ({path}).", param="expand")
        kind, field = wanted
        found = [render(entry, version) for entry in self.book.table(kind).values() if entry[field] == node["id"]]
        url = f"/v1/{node['object']}s/{node['id']}/{name}"
        return {"object": "list", "data": found[::-1][:10], "has_more": len(found) > 10, "url": url}

    # lists

    def page(self, path: str, given: Params, version: str) -> Record | None:
        """A list answer, or None when the path is no list."""
        parts = path.strip("/").split("/")[1:]
        url = "/" + path.strip("/")
        if parts == ["events"]:
            return self._event_page(given, url)
        if len(parts) == 2 and parts[1] == "search" and parts[0] in SEARCHED:
            return self._found(KINDS[parts[0]], given, version, url)
        if len(parts) == 3:
            return self._nested(parts, given, version, url)
        kind = KINDS.get(parts[0]) if len(parts) == 1 else None
        if kind is None:
            return None
        tests = self._tests(kind, given)
        table = self.book.table(kind)
        if kind == "balance_transaction" and given.has("payout"):
            chosen = self.account.payments.transactions_of(given.needed("payout"))
            table = {one: table[one] for one in chosen}
        found, more = self._slice(table, given, kind, tests)
        return self._listed(found, given, version, url, has_more=more)

    def _listed(self, found: list[Record], given: Params, version: str, url: str, *, has_more: bool) -> Record:
        inside = [path.removeprefix("data.") for path in given.words("expand")]
        data = [self.shown(record, version, inside) for record in found]
        return {"object": "list", "data": data, "has_more": has_more, "url": url}

    def _found(self, kind: str, given: Params, version: str, url: str) -> Record:
        unknown = set(given.tree) - {"query", "limit", "page", "expand"}
        if unknown:
            name = min(unknown)
            raise SimulatedRefusal(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
        limit, page = given.integer("limit") or 10, given.integer("page") or 0
        found = self.searching.search(kind, given.needed("query"))
        part = found[page * limit : (page + 1) * limit]
        more = len(found) > (page + 1) * limit
        answer = self._listed(part, given, version, url, has_more=more)
        return {**answer, "object": "search_result", "next_page": str(page + 1) if more else None}

    def _nested(self, parts: list[str], given: Params, version: str, url: str) -> Record | None:
        if parts[0] in ("invoices", "credit_notes") and parts[2] == "lines":
            lines = self.book.get(KINDS[parts[0]], parts[1])["lines"]["data"]
            found, more = self._slice({line["id"]: line for line in reversed(lines)}, given, "line_item", [])
        elif parts[0] == "charges" and parts[2] == "refunds":
            found, more = self._slice(
                self.book.table("refund"), given, "refund", [lambda one: one["charge"] == parts[1]]
            )
        elif parts[0] == "customers" and parts[2] == "payment_methods":
            mine: list[Test] = [lambda one: one["customer"] == parts[1]]
            found, more = self._slice(self.book.table("payment_method"), given, "payment_method", mine)
        else:
            return None
        return self._listed(found, given, version, url, has_more=more)

    def _tests(self, kind: str, given: Params) -> list[Test]:
        tests: list[Test] = []
        for name in given.tree:
            if name in _PAGING or (kind, name) == ("balance_transaction", "payout"):
                continue
            if name in _RANGES:
                tests.append(_range_test(name, given))
            elif (kind, name) == ("invoice_payment", "payment"):
                intent = given.table("payment").text("payment_intent")
                tests.append(lambda one, intent=intent: one["payment"]["payment_intent"] == intent)  # type: ignore[misc]
            elif (kind, name) == ("subscription", "price"):
                price = given.text("price")
                tests.append(lambda one, price=price: any(i["price"]["id"] == price for i in one["items"]["data"]))  # type: ignore[misc]
            elif (kind, name) == ("subscription", "status"):
                continue
            elif name in _EQUAL.get(kind, ()):
                tests.append(_equal_test(name, given))
            else:
                raise SimulatedRefusal(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
        if kind == "subscription":
            tests.append(_status_test(given.text("status")))
        return tests

    def _slice(
        self, table: dict[str, T], given: Params, kind: str, tests: Sequence[Callable[[T], bool]]
    ) -> tuple[list[T], bool]:
        """One page of a table that is kept oldest first and shown newest first."""
        asked = given.integer("limit")
        limit = 10 if asked is None else asked
        if not 1 <= limit <= 100:
            raise SimulatedRefusal(400, "Limit is between 1 and 100.", param="limit", code="parameter_invalid_integer")
        after, before = given.text("starting_after"), given.text("ending_before")
        for name, cursor in (("starting_after", after), ("ending_before", before)):
            if cursor is not None and cursor not in table:
                raise SimulatedRefusal(400, f"No such {kind}: '{cursor}'", code="resource_missing", param=name)
        order: Iterator[str] = iter(table) if before else reversed(table)
        start = before or after
        if start is not None:
            for one in order:
                if one == start:
                    break
        matching = (table[one] for one in order if all(test(table[one]) for test in tests))
        found = list(islice(matching, limit + 1))
        more = len(found) > limit
        found = found[:limit]
        return (found[::-1] if before else found), more

    def _event_page(self, given: Params, url: str) -> Record:
        types = set(given.words("types")) or ({given.needed("type")} if given.has("type") else set())
        success = given.flag("delivery_success")
        horizon = self.book.now - EVENT_WINDOW_S
        unknown = set(given.tree) - _PAGING - {"types", "type", "delivery_success", "created"}
        if unknown:
            name = min(unknown)
            raise SimulatedRefusal(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
        in_range = _range_test("created", given) if given.has("created") else None

        def wanted(event: SaidEvent) -> bool:
            if event.created < horizon or (in_range is not None and not in_range({"created": event.created})):
                return False
            if types and not any(_type_matches(event.type, asked) for asked in types):
                return False
            return success is None or success == (not event.undelivered)

        found, more = self._slice(self.book.events, given, "event", [wanted])
        return {"object": "list", "data": [event.as_object() for event in found], "has_more": more, "url": url}


def _type_matches(event_type: str, asked: str) -> bool:
    return event_type == asked or (asked.endswith("*") and event_type.startswith(asked[:-1]))


def _equal_test(name: str, given: Params) -> Test:
    if name in ("lookup_keys", "ids"):
        wanted, field = set(given.words(name)), "lookup_key" if name == "lookup_keys" else "id"
        return lambda one: one[field] in wanted
    value: object = given.flag(name) if name == "active" else given.text(name)
    return lambda one: one[name] == value


def _status_test(status: str | None) -> Test:
    if status == "all":
        return lambda _: True
    if status == "ended":
        return lambda one: one["status"] in ("canceled", "incomplete_expired")
    if status is None:
        return lambda one: one["status"] != "canceled"
    return lambda one: one["status"] == status


def _range_test(name: str, given: Params) -> Test:
    if isinstance(given.tree[name], str):
        exact = given.integer(name)
        return lambda one: one.get(name) == exact
    bounds = given.table(name)
    limits = [(_OPERATORS[op], bounds.integer(op) or 0) for op in bounds.tree if op in _OPERATORS]

    def inside(one: Record) -> bool:
        have = one.get(name)
        return have is not None and all(check(have, bound) for check, bound in limits)

    return inside
