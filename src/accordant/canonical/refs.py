"""How things are named: by their owner (system, object type, id) and by the hub (kind, id). Always all parts."""

from enum import StrEnum

import msgspec

from accordant.kernel.ids import EntityId


class EntityKind(StrEnum):
    """The kinds of entity the hub folds."""

    ACCOUNT = "account"
    PRODUCT = "product"
    PRICE = "price"
    SUBSCRIPTION = "subscription"
    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    PAYOUT = "payout"
    BALANCE_MOVEMENT = "balance_movement"
    BANK_STATEMENT = "bank_statement"
    CASH_MOVEMENT = "cash_movement"
    LEDGER_DOCUMENT = "ledger_document"
    RECEIVABLE = "receivable"
    COMPANY = "company"
    CONTACT = "contact"
    OPPORTUNITY = "opportunity"


class ExternalRef(msgspec.Struct, frozen=True, order=True):
    """One object at one outside system.

    ``system`` is the connection's name in the charter, ``object_type`` the vendor's word for the kind of object.
    """

    system: str
    object_type: str
    id: str

    def __str__(self) -> str:
        return f"{self.system}:{self.object_type}/{self.id}"

    @classmethod
    def parse(cls, text: str) -> "ExternalRef":
        """The reference printed as ``system:object_type/id``; only the id may itself hold a colon or a slash."""
        system, _, rest = text.partition(":")
        object_type, _, external_id = rest.partition("/")
        return cls(system, object_type, external_id)


class EntityRef(msgspec.Struct, frozen=True, order=True):
    """One entity of the hub."""

    kind: EntityKind
    id: EntityId

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"
