"""One spelling for things that are spelled in many ways: mailboxes, company names, tax ids, phone numbers, places.

Normalising twice changes nothing. What cannot be normalised safely gives nothing: no key is better than a wrong one.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Protocol

import msgspec
from cleanco.clean import custom_basename, normalized, prepare_default_terms, strip_punct, strip_tail
from stdnum import get_cc_module, lei
from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError

from accordant.identity.countries import country_code
from accordant.identity.domains import host_of

_LOCAL_BYTES_MAX = 64  # RFC 5321 4.5.3.1.1
_ADDRESS_BYTES_MAX = 254  # RFC 5321 4.5.3.1.3, less the angle brackets
_ATOM = re.compile(r"[^\s\".(),:;<>@\[\\\]\x00-\x1f\x7f]+(?:\.[^\s\".(),:;<>@\[\\\]\x00-\x1f\x7f]+)*")
_COMMENT = re.compile(r"\([^()\\]*\)")
#: Providers that deliver ``name+anything`` to ``name``, by their own help pages. Elsewhere the sign is in the name.
_PLUS_TAGS = frozenset(
    {
        "gmail.com",
        "outlook.com",
        "hotmail.com",
        "live.com",
        "msn.com",
        "icloud.com",
        "proton.me",
        "fastmail.com",
        "fastmail.fm",
        "yandex.ru",
        "zoho.com",
        "mailbox.org",
        "posteo.de",
        "runbox.com",
        "hey.com",
    }
)
#: Second names of one mailbox.
_TWINS = {
    "googlemail.com": "gmail.com",
    "protonmail.com": "proton.me",
    "pm.me": "proton.me",
    "me.com": "icloud.com",
    "mac.com": "icloud.com",
    "yandex.com": "yandex.ru",
    "ya.ru": "yandex.ru",
}
_DOTLESS = frozenset({"gmail.com"})

#: Legal forms that stand before the name, or that no list of suffixes knows. Only where they cannot be a word.
_FORMS_BEFORE = ("株式会社", "有限会社", "合同会社", "ооо", "оао", "зао", "пао", "тоо", "ooo")  # noqa: RUF001  Cyrillic
_FORMS_BEHIND = ("株式会社", "有限会社", "合同会社", "ug haftungsbeschrankt", "haftungsbeschrankt", "gmbh and co kg")
#: Words that one list of legal forms takes away with the form ("UK Ltd") and that tell a company from its sister.
_COUNTRY_WORDS = frozenset({"uk", "us", "usa", "eu", "ireland", "india", "canada", "australia", "singapore"})
#: What folding makes of the signs of a name in plain ASCII.
_ASCII_FOLD = str.maketrans(
    {sign: " " for sign in map(chr, range(128)) if not sign.isalnum()} | {"&": " and ", "'": "", "`": "", ".": ""}
)
_FIRST_IDEOGRAPH = "\u3400"
_FORM_ROUNDS_MAX = 5
_NAME_LETTERS_MIN = 2

#: Kinds of tax number that python-stdnum knows under a country, besides its value-added tax number.
_TAX_KINDS = ("vat", "ein", "abn", "gstin", "bn", "tin", "uid", "cnpj", "rfc", "nit")
#: Countries whose tax number is the company's number with letters around it (CHE...MWST, NO...MVA).
_DIGITS_ONLY = frozenset({"ch", "no"})
_TAX_DIGITS_MIN = 6
_PHONE_DIGITS_MIN = 9
#: An American postcode with the four digits of the block behind it, which many leave out.
_ZIP_AND_FOUR = re.compile(r"[0-9]{9}")
_ZIP_DIGITS = 5


class Mailbox(msgspec.Struct, frozen=True):
    """A mailbox in one spelling: ``local`` before the sign, ``host`` behind it, as the provider tells them apart."""

    local: str
    host: str

    def __str__(self) -> str:
        return f"{self.local}@{self.host}"


def mailbox(text: str) -> Mailbox | None:
    """The mailbox an e-mail address leads to, or None where the text is none or is too long to be one.

    Case never counts: no provider we know tells mailboxes apart by it, although RFC 5321 would let it.
    """
    raw = unicodedata.normalize("NFKC", text).strip()
    raw = _COMMENT.sub("", raw)
    local, at, domain = raw.rpartition("@")
    local, host = local.strip(), host_of(domain)
    if not at or host is None or "/" in domain or ":" in domain:
        return None
    unquoted = _unquote(local)
    if unquoted is None:
        return None
    name, host = unquoted.casefold(), _TWINS.get(host, host)
    if host in _PLUS_TAGS:
        name = name.split("+", 1)[0]
    if host in _DOTLESS:
        name = name.replace(".", "")
    too_long = len(name.encode()) > _LOCAL_BYTES_MAX or len(f"{name}@{host}".encode()) > _ADDRESS_BYTES_MAX
    return None if not name or too_long or len(local.encode()) > _LOCAL_BYTES_MAX else Mailbox(name, host)


def _unquote(local: str) -> str | None:
    """A local part as it means: quotes that are not needed are taken off. None where it is malformed."""
    if len(local) >= 2 and local[0] == local[-1] == '"':
        inner = re.sub(r"\\(.)", r"\1", local[1:-1])
        return inner if _ATOM.fullmatch(inner) else local if inner.strip() else None
    return local if _ATOM.fullmatch(local) else None


@lru_cache(maxsize=65_536)
def company_name(text: str) -> str:
    """A name for comparing: letters and digits only, folded, without its legal form. Empty where nothing is left."""
    # Some forms are only known by their signs (A/S, S.p.A.), which folding takes away.
    name = _folded(without_suffix(text)) or _folded(text)
    if missing := [word for word in _folded(text).split() if word in _COUNTRY_WORDS and word not in name.split()]:
        name = " ".join([name, *missing])
    for _ in range(_FORM_ROUNDS_MAX):
        shorter = _without_form(name)
        if shorter == name:
            break
        name = shorter
    return name if sum(letter.isalnum() for letter in name) >= _NAME_LETTERS_MIN else ""


def _folded(text: str) -> str:
    """Lower case without accents; every sign a space; ``&`` is a word."""
    if text.isascii():
        return " ".join(text.translate(_ASCII_FOLD).lower().split())
    plain = unicodedata.normalize("NFKD", text.replace("&", " and ").replace("ß", "ss"))
    # A name that already went through is spelled with spaces only, so that a second pass changes nothing.
    letters = (letter for letter in plain if not unicodedata.combining(letter))
    kept = "".join(letter if letter.isalnum() else "" if letter in "'’`.·" else " " for letter in letters)
    return " ".join(unicodedata.normalize("NFKC", kept).casefold().split())


def without_suffix(text: str) -> str:
    """What cleanco's ``basename`` gives, in a tenth of the time: of its forms only those with a word of the name."""
    bare = strip_tail(text)
    words = {strip_punct(word) for word in normalized(bare).split()}
    near = sorted(form for word in words for form in _forms_by_last_word().get(word, ()))
    if not near:
        return str(strip_tail(" ".join(bare.split())))
    return str(custom_basename(text, [(size, parts) for _, size, parts in near]))


@cache
def _forms_by_last_word() -> dict[str, list[tuple[int, int, list[str]]]]:
    """The legal forms cleanco knows by their last word: place in its order, how many words, the words."""
    forms: dict[str, list[tuple[int, int, list[str]]]] = {}
    for place_in_order, (size, parts) in enumerate(prepare_default_terms()):
        forms.setdefault(parts[-1], []).append((place_in_order, size, parts))
    return forms


def _without_form(name: str) -> str:
    """The name less one legal form, unless nothing would be left: "Pty Ltd" is then a name of its own."""
    for form in _FORMS_BEFORE:
        # Japanese forms stand without a space, the others are words.
        rest = name.removeprefix(form)
        if rest != name and rest.strip() and (rest.startswith(" ") or form[0] >= _FIRST_IDEOGRAPH):
            return rest.strip()
    for form in _FORMS_BEHIND:
        rest = name.removesuffix(form)
        if rest != name and rest.strip() and (rest.endswith(" ") or form[0] >= _FIRST_IDEOGRAPH):
            return rest.strip()
    shorter = " ".join(without_suffix(name).split())
    if shorter and shorter != name and _COUNTRY_WORDS.isdisjoint(name.removeprefix(shorter).split()):
        return shorter.removesuffix(" and").strip() or name
    without_article = name.removeprefix("the ")
    return without_article or name


class TaxId(msgspec.Struct, frozen=True, order=True):
    """A tax number whose check digits hold. ``scheme`` says whose kind of number it is: ``de:vat``, ``us:ein``."""

    scheme: str
    number: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.number}"


def tax_ids(texts: Iterable[str], country: str | None) -> frozenset[TaxId]:
    """The valid tax numbers among ``texts``; ``country``, a code or a name, tells how one without a prefix is read."""
    land = country_code(country) if texts and country else None
    return frozenset(found for text in texts if (found := _tax_id(text, land)) is not None)


def _tax_id(text: str, country: str | None) -> TaxId | None:
    plain = re.sub(r"[^0-9A-Za-z]", "", text).upper()
    digits = [letter for letter in plain if letter.isdigit()]
    if len(digits) < _TAX_DIGITS_MIN or len(set(digits)) == 1:  # 000000000 passes many a check and means nothing
        return None
    if lei.is_valid(plain):
        return TaxId("lei", plain)
    prefix = plain[:2].lower()
    if prefix.isalpha():
        found = _european(plain, prefix) or _national(plain, prefix)
        if found is not None:
            return found
    return _national(text.strip(), country.lower()) if country else None


def _european(plain: str, prefix: str) -> TaxId | None:
    try:
        number = eu_vat.validate(plain)
    except ValidationError:
        return None
    return TaxId("gr:vat" if prefix in {"el", "gr"} else f"{prefix}:vat", str(number)[2:])


def _national(text: str, country: str) -> TaxId | None:
    for kind in _TAX_KINDS:
        module = _tax_module(country, kind)
        if module is None:
            continue
        try:
            number = str(module.validate(text))
        except ValidationError:
            continue
        if country in _DIGITS_ONLY:
            return TaxId(f"{country}:vat", re.sub(r"[^0-9]", "", number))
        return TaxId(f"{country}:{kind}", number.upper().removeprefix(country.upper()))
    return None


class _Numbers(Protocol):
    """What each module of python-stdnum offers."""

    def validate(self, number: str) -> str:
        """The number in its one spelling. Raises ValidationError."""
        ...


@lru_cache(maxsize=512)
def _tax_module(country: str, kind: str) -> _Numbers | None:
    if not country.isascii() or not country.isalpha():
        return None
    return get_cc_module(country, kind)


def phone(text: str) -> str | None:
    """The last nine digits of a phone number, which are the same with and without its country's code."""
    without_extension = re.split(r"[a-z]", text.lower(), maxsplit=1)[0]
    digits = re.sub(r"[^0-9]", "", without_extension)
    tail = digits.lstrip("0")[-_PHONE_DIGITS_MIN:]
    return tail if len(tail) == _PHONE_DIGITS_MIN and len(set(tail)) > 1 else None


def place(postcode: str | None, country: str | None) -> str | None:
    """Postcode and country in one spelling; None unless both are known, the country by a code or a name."""
    code = re.sub(r"[^0-9A-Za-z]", "", postcode or "").upper()
    land = country_code(country) if code and country else None
    if land == "US" and _ZIP_AND_FOUR.fullmatch(code):
        code = code[:_ZIP_DIGITS]
    return f"{land} {code}" if land else None
