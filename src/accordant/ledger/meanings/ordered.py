"""What an order means in the books: the very amounts that were asked for, in every company; and its withdrawal."""

from accordant.canonical.words import OrderedLeg
from accordant.ledger.chart import Use
from accordant.ledger.compose import Refusal
from accordant.ledger.meanings.asking import Ask, Occurrence, Sister, refused
from accordant.ledger.meanings.reading import Reading
from accordant.ledger.patterns import Leg


def ordered(told: Occurrence, reading: Reading) -> Ask | None:
    """An entry that somebody ordered. Whose subledger it belongs to has to be known: the gate would not find out."""
    event, said = told.event, told.event.said
    if said is None or said.entry is None:
        return refused("nobody said what is ordered", "Have the order given again.")
    if event.root != event.subject and event.root not in reading.objects:
        reason = f"The customer {event.root.id} of {event.root.system} is not known."
        return Ask(refusal=Refusal(check="party", reason=reason, remedy="Let its own event come first."))
    entry = said.entry
    ask = Ask(
        rule=entry.rule,
        text=entry.text,
        currency=entry.currency,
        legs=[_leg(one) for one in entry.legs],
        stated=entry.stated_minor,
        total_legs=entry.total_legs,
        number=entry.number,
        is_of_party=event.root != event.subject,
    )
    if said.sister is not None:
        ask.sister = Sister(
            legal_entity=said.sister,
            rule=entry.rule,
            text=entry.text,
            currency=entry.currency,
            legs=[_leg(one) for one in entry.sister_legs],
            total_legs=entry.total_legs,
        )
    return ask


def withdrawn(_told: Occurrence, _reading: Reading) -> Ask | None:
    """Something that was said is taken back: no money moves, and what was said is read as if it never had been."""
    return None


def _leg(one: OrderedLeg) -> Leg:
    use = Use(role=one.role, product=one.product, tax_code=one.tax_code, processor=one.processor)
    return Leg(use=use, minor=one.minor, party=one.party, dimensions=one.dimensions)
