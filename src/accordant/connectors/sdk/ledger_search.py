"""What a customer of an ERP is looked for by: few words, since an ERP counts calls, and of each what tells most.
Guarantees that whoever shares a key with a record is found by it, if the vendor's own search finds the word.
Next: a connector's ``candidates.py``, which asks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from accordant.canonical.matching import KeyKind, MatchKey
from accordant.canonical.targets import IdentitySpec
from accordant.connectors.sdk.plain_json import Row
from accordant.kernel.errors import RejectedError

_WORD_LENGTH_MIN = 3  # shorter words begin too many names


def mail_words(keys: Collection[MatchKey]) -> list[str]:
    """What stands in an e-mail address: a company's domain, which finds its addresses too, else the whole address."""
    domains = {key.value for key in keys if key.kind is KeyKind.DOMAIN}
    mails = {key.value for key in keys if key.kind is KeyKind.EMAIL}
    return sorted(domains | {mail for mail in mails if mail.rpartition("@")[2] not in domains})


def name_words(keys: Collection[MatchKey]) -> list[str]:
    """The longest word of each name: with the same words in it a record is found by any of them."""
    found = (max(key.value.split(), key=len, default="") for key in keys if key.kind is KeyKind.NAME)
    return sorted({word for word in found if len(word) >= _WORD_LENGTH_MIN})


def tax_numbers(keys: Collection[MatchKey]) -> list[str]:
    """Tax numbers without what says of which country and kind they are."""
    return sorted({key.value.rpartition(":")[2] for key in keys if key.kind is KeyKind.TAX_ID})


def references(keys: Collection[MatchKey]) -> list[str]:
    """Ids, ours and the vendor's."""
    return sorted({key.value for key in keys if key.kind is KeyKind.CROSS_REFERENCE})


def check_fields(title: str, spec: IdentitySpec) -> None:
    """Raises RejectedError for a field that the charter names, where the vendor shows none but its own."""
    if spec.fields:
        raise RejectedError(
            f"{title} shows no fields of your own of a {spec.object}: {', '.join(sorted(spec.fields.values()))}.",
            remedy="Take identity.fields of this system out of the charter.",
        )


def place(addresses: Iterable[Row | None]) -> tuple[str | None, str | None]:
    """The postcode and the country of the first address that says any."""
    for one in addresses:
        found = [next(iter(filled((one or {}).get(name))), None) for name in ("PostalCode", "Country")]
        if any(found):
            return found[0], found[1]
    return None, None


def host(website: str | None) -> tuple[str, ...]:
    """The host of what stands in a field for a website, with or without its scheme; none where it is empty."""
    if not website:
        return ()
    try:
        found = urlsplit(website if "//" in website else f"//{website}").hostname
    except ValueError:
        found = None
    return (found or website,)


def filled(*texts: object) -> tuple[str, ...]:
    """The texts that say something, each once."""
    return tuple(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))
