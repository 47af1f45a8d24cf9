"""Who sees how much of a personal value: kinds of values, audiences, and the lens through which an audience looks.

Pure. A value with a known fact or field is covered by its kind; any other text loses the addresses and numbers in it.
Next: `kernel/masking.py` for the shortened forms, `views/masked.py` for whole answers.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

from accordant.canonical.charter import Audience, Charter, FieldPart, Mask, Sensitivity
from accordant.canonical.facts import FACTS, FactType
from accordant.canonical.refs import EntityKind
from accordant.canonical.sources import facts_read
from accordant.kernel.masking import COVER, cover_addresses, cover_email, cover_name, cover_number, cover_numbers

#: The key under which owners tell the last digits of a card.
CARD_END = "last4"
#: Who is taken to look where nobody says who it is.
LEAST = Audience.ENGINEER

#: Canonical fields that are personal, beside those of `FACTS`: the attributes of an entity as the hub keeps it.
_PERSONAL: dict[EntityKind, dict[str, Sensitivity]] = {
    EntityKind.ACCOUNT: {
        "name": Sensitivity.NAME,
        "email": Sensitivity.EMAIL,
        "phone": Sensitivity.PHONE,
        "postcode": Sensitivity.ADDRESS,
        "tax_ids": Sensitivity.TAX_ID,
        "metadata": Sensitivity.FREE_TEXT,
    },
    EntityKind.SUBSCRIPTION: {
        "metadata": Sensitivity.FREE_TEXT,
        "cancellation_reason": Sensitivity.FREE_TEXT,
    },
    EntityKind.INVOICE: {"description": Sensitivity.FREE_TEXT, "lines": Sensitivity.FREE_TEXT},
    EntityKind.PAYMENT: {"failure_message": Sensitivity.FREE_TEXT},
    EntityKind.COMPANY: {
        "name": Sensitivity.NAME,
        "email": Sensitivity.EMAIL,
        "phone": Sensitivity.PHONE,
        "street": Sensitivity.ADDRESS,
        "city": Sensitivity.ADDRESS,
        "postcode": Sensitivity.ADDRESS,
        "custom": Sensitivity.FREE_TEXT,
    },
    EntityKind.CONTACT: {
        "name": Sensitivity.NAME,
        "email": Sensitivity.EMAIL,
        "phone": Sensitivity.PHONE,
    },
    EntityKind.OPPORTUNITY: {"company_name": Sensitivity.NAME, "custom": Sensitivity.FREE_TEXT},
}
#: Facts that are text and name nobody. A text fact that is neither here nor above counts as free text.
_OPEN_TEXT: dict[EntityKind, frozenset[str]] = {
    EntityKind.ACCOUNT: frozenset(
        {"external_id", "parent", "country", "currency", "status", "plan_name", "billing_cycle",
         "payment_method_status", "discount", "receivable_state", "payment_risk", "last_movement",
         "movement_history"}
    ),
    EntityKind.PRODUCT: frozenset({"external_id", "name"}),
    EntityKind.SUBSCRIPTION: frozenset(
        {"external_id", "account", "name", "status", "plan_name", "currency", "billing_cycle", "discount"}
    ),
    EntityKind.INVOICE: frozenset({"external_id", "account", "number", "status", "currency", "subscription"}),
    EntityKind.PAYMENT: frozenset(
        {"external_id", "account", "invoice", "status", "currency", "method", "failure_code", "summary"}
    ),
    EntityKind.REFUND: frozenset({"external_id", "account", "payment", "status", "currency", "reason", "summary"}),
    EntityKind.COMPANY: frozenset(
        {"external_id", "parent", "website", "state", "country", "industry", "billing_customer"}
    ),
    EntityKind.OPPORTUNITY: frozenset(
        {"external_id", "company", "name", "stage", "currency", "lines", "unpriced", "billing_customer",
         "billing_currency"}
    ),
    EntityKind.LEDGER_DOCUMENT: frozenset(
        {"external_id", "kind", "rule", "number", "text", "legal_entity", "party", "currency", "books_currency",
         "settles", "reverses", "reverses_kind", "lines", "state", "cause", "subject"}
    ),
}  # fmt: skip

_S, _P, _H = Mask.SHOW, Mask.PART, Mask.HIDE
_KINDS = tuple(kind for kind in Sensitivity if kind is not Sensitivity.OPEN)
#: How much each audience sees where the charter says nothing. Columns as `_KINDS`: name, e-mail, phone, address,
#: account number, tax id, free text, restricted.
_DEFAULTS: dict[Audience, tuple[Mask, ...]] = {
    Audience.SUPPORT: (_S, _P, _P, _H, _P, _H, _P, _H),
    Audience.REVOPS: (_S, _S, _P, _P, _P, _H, _P, _H),
    Audience.FINANCE: (_S, _S, _S, _S, _P, _P, _S, _P),
    Audience.COMPLIANCE: (_S, _S, _S, _S, _P, _P, _S, _S),
    Audience.ENGINEER: (_P, _P, _H, _H, _H, _H, _H, _H),
}
_WIDTH = {Mask.HIDE: 0, Mask.PART: 1, Mask.SHOW: 2}
#: Nobody is shown these whole, whatever the charter says (requirements 189 and 195, PCI DSS 3.4.1).
NEVER_WHOLE = frozenset({Sensitivity.ACCOUNT_NUMBER, Sensitivity.TAX_ID})

#: Of several kinds in one value the strictest counts: the later in their own order.
_STRICTNESS = {kind: place for place, kind in enumerate(Sensitivity)}

# Names of fields that nobody described, in the words of vendors. The first that fits decides.
_BY_NAME: tuple[tuple[re.Pattern[str], Sensitivity], ...] = tuple(
    (re.compile(rf"(^|_)({words})(_|s?$)"), kind)
    for words, kind in (
        ("event_name|plan_name|product_name|brand_name|price_name|object_name|file_name", Sensitivity.OPEN),
        ("e_?mails?|mail", Sensitivity.EMAIL),
        ("phone|mobile|fax|telephone", Sensitivity.PHONE),
        ("tax_id|tax_ids|vat_id|vat_number|tin|ssn|ein|tax_number", Sensitivity.TAX_ID),
        ("iban|account_number|routing_number|card_number|pan|bic|sort_code|bank_account", Sensitivity.ACCOUNT_NUMBER),
        ("fingerprint|dynamic_last4", Sensitivity.ACCOUNT_NUMBER),
        (
            "address|place|line1|line2|city|postal_?code|post_?code|zip|street|ip|latitude|longitude",
            Sensitivity.ADDRESS,
        ),
        ("birth|dob|birthday|passport|national_id|id_number", Sensitivity.RESTRICTED),
        ("name|first_name|last_name|nickname|signatory|cardholder|recipient", Sensitivity.NAME),
        ("description|note|memo|comment|message|metadata|subject_line|free_text", Sensitivity.FREE_TEXT),
    )
)
_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


def kind_by_name(name: str) -> Sensitivity | None:
    """What kind of value a field of this name holds, by its name alone; None when the name does not tell."""
    spelled = _WORD_BREAK.sub("_", name).strip("_").lower()
    return next((kind for pattern, kind in _BY_NAME if pattern.search(spelled)), None)


def kind_of_fact(entity: EntityKind, fact: str) -> Sensitivity:
    """The kind of a canonical field where the charter says nothing. Text that nobody described is free text."""
    named = _PERSONAL.get(entity, {}).get(fact)
    if named is not None:
        return named
    is_text = FACTS.get(entity, {}).get(fact, FactType.TEXT) is FactType.TEXT
    return Sensitivity.FREE_TEXT if is_text and fact not in _OPEN_TEXT.get(entity, ()) else Sensitivity.OPEN


class Lens(msgspec.Struct, frozen=True, kw_only=True):
    """What one audience sees. ``fields`` is keyed by (system, object, field); ``attributes`` by entity."""

    audience: Audience
    masks: dict[Sensitivity, Mask]
    attributes: dict[EntityKind, dict[str, Sensitivity]] = {}
    fields: dict[tuple[str, str, str], Sensitivity] = {}

    def field(self, system: str, object_name: str, name: str, value: object) -> object:
        """A value of a target field."""
        return self.cover(value, self.fields.get((system, object_name, name)) or kind_by_name(name))

    def fact(self, entity: EntityKind, name: str, value: object) -> object:
        """A canonical fact of an entity."""
        named = self.attributes.get(entity, {}).get(name)
        return self.cover(value, named or kind_of_fact(entity, name))

    def attribute(self, entity: EntityKind, name: str) -> Sensitivity | None:
        """The kind of an attribute of an entity as the hub keeps it; None for what is not personal by itself."""
        return self.attributes.get(entity, {}).get(name) or _PERSONAL.get(entity, {}).get(name)

    def text(self, text: str) -> str:
        """Running text of others: the numbers in it are shortened, and the addresses for whoever may not see them."""
        shortened = text if self.masks[Sensitivity.EMAIL] is Mask.SHOW else cover_addresses(text)
        return cover_numbers(shortened)

    def cover(self, value: object, kind: Sensitivity | None) -> object:
        """``value`` as this audience may see it. Nothing stays nothing: that a field is empty is no secret."""
        if value is None or value == "" or isinstance(value, bool):
            return value
        if kind is None or kind is Sensitivity.OPEN:
            return self.text(value) if isinstance(value, str) else value
        match self.masks[kind]:
            case Mask.SHOW:
                return self.text(value) if isinstance(value, str) and kind is Sensitivity.FREE_TEXT else value
            case Mask.HIDE:
                return COVER
            case Mask.PART:
                return _part(str(value), kind)

    def card_end(self, digits: str | None) -> str | None:
        """The last digits of a card as the owner tells them: shortened already, so shown or not."""
        hidden = digits is not None and self.masks[Sensitivity.ACCOUNT_NUMBER] is Mask.HIDE
        return COVER if hidden else digits

    def json(self, value: object, *, kind: Sensitivity | None = None) -> object:
        """A JSON document of others: each value covered by the name of its key, else by its look."""
        match value:
            case dict():
                return {
                    key: self.card_end(item)
                    if key == CARD_END and (item is None or isinstance(item, str))
                    else self.json(item, kind=kind_by_name(str(key)) or kind)
                    for key, item in value.items()
                }
            case list() | tuple():
                return [self.json(item, kind=kind) for item in value]
            case _:
                return self.cover(value, kind)


def _part(text: str, kind: Sensitivity) -> str:
    match kind:
        case Sensitivity.NAME:
            return cover_name(text)
        case Sensitivity.EMAIL:
            return cover_email(text)
        case Sensitivity.PHONE | Sensitivity.ACCOUNT_NUMBER | Sensitivity.TAX_ID:
            return cover_number(text)
        case Sensitivity.FREE_TEXT:
            return cover_numbers(cover_addresses(text))
        case _:
            return COVER


def lens(charter: Charter | None, audience: Audience = LEAST) -> Lens:
    """The lens of an audience under a charter; under none, that of the defaults."""
    masks = {Sensitivity.OPEN: Mask.SHOW, **masks_of(charter, audience)}
    if charter is None:
        return Lens(audience=audience, masks=masks)
    return Lens(
        audience=audience,
        masks=masks,
        attributes=charter.sensitivity.facts,
        fields=dict(_fields(charter)),
    )


def masks_of(charter: Charter | None, audience: Audience) -> dict[Sensitivity, Mask]:
    """Kind of value -> how much of it this audience sees: the charter's word, else the default."""
    said: Mapping[Sensitivity, Mask] = charter.sensitivity.masks.get(audience, {}) if charter is not None else {}
    masks = {kind: said.get(kind, default) for kind, default in zip(_KINDS, _DEFAULTS[audience], strict=True)}
    return {kind: Mask.PART if kind in NEVER_WHOLE and mask is Mask.SHOW else mask for kind, mask in masks.items()}


def is_wider(one: Mask, other: Mask) -> bool:
    """Whether ``one`` shows more than ``other``."""
    return _WIDTH[one] > _WIDTH[other]


def field_name(system: str, object_name: str, field: str) -> str:
    """How a target field is named in the charter: ``system:Object.Field``."""
    return f"{system}:{object_name}.{field}"


def _fields(charter: Charter) -> Iterator[tuple[tuple[str, str, str], Sensitivity]]:
    """Every mapped target field with its kind: said by the charter, else the strictest of what it is made of."""
    said = charter.sensitivity
    for system, mappings in charter.mappings.items():
        for mapping in mappings:
            for name, part in mapping.fields.items():
                named = said.fields.get(field_name(system, mapping.object, name))
                yield (system, mapping.object, name), named or _kind_of_part(charter, mapping.entity, part)


def _kind_of_part(charter: Charter, entity: EntityKind, part: FieldPart) -> Sensitivity:
    said = charter.sensitivity.facts.get(entity, {})
    root, _, deeper = part.path.partition(".")
    kinds = {said.get(fact) or kind_of_fact(entity, fact) for fact in ((root,) if root else facts_read(part))}
    if deeper:
        # What lies deeper than the entity's own attribute is told by its name: metadata.billing_email.
        kinds.add(kind_by_name(deeper) or Sensitivity.OPEN)
    return max(kinds, key=_STRICTNESS.__getitem__, default=Sensitivity.OPEN)
