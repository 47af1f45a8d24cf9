"""The court's verdict as it is stored beside an intent, read for people. What cannot be read is said to be so."""

import msgspec


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that spoke."""

    rule: str
    effect: str = ""
    fields: tuple[str, ...] = ()
    text: str = ""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict: its effect, what becomes of each field, and every rule that spoke."""

    effect: str = ""
    write: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    shadow: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    reasons: tuple[Rule, ...] = ()
    readable: bool = True


_DECODER: msgspec.json.Decoder[Decided] = msgspec.json.Decoder(Decided)


def read_decision(stored: bytes) -> Decided:
    """The verdict in ``stored``; one written in another shape comes back as not readable."""
    try:
        decided = _DECODER.decode(stored)
    except msgspec.DecodeError:
        return Decided(readable=False)
    return decided
