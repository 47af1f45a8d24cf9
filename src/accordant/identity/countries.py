"""Which country is meant? A code of two or three letters, or a name in the languages people write into a CRM."""

import unicodedata
from functools import cache, lru_cache

from babel import Locale
from babel.core import get_global

#: The languages whose names of countries are known: those of CRM users' own settings, most spoken first.
_LANGUAGES = (
    "en", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "nb", "fi", "pl", "cs", "sk", "sl", "hr", "hu", "ro", "bg",
    "el", "tr", "uk", "ru", "he", "ar", "ja", "zh", "zh_Hant", "ko", "id", "vi", "th",
)  # fmt: skip
#: Names that are official and that CLDR spells otherwise, as CRM systems list them. Source: Salesforce's country list.
_ALSO = {
    "united states of america": "US", "great britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB",
    "northern ireland": "GB", "czech republic": "CZ", "the netherlands": "NL", "holland": "NL", "russian federation":
    "RU", "korea republic of": "KR", "republic of korea": "KR", "viet nam": "VN", "taiwan province of china": "TW",
    "iran islamic republic of": "IR", "republic of ireland": "IE", "uae": "AE", "macedonia": "MK", "brasil": "BR",
    "bolivia plurinational state of": "BO", "tanzania united republic of": "TZ", "moldova republic of": "MD",
}  # fmt: skip
_CODE_LETTERS = 2


@lru_cache(maxsize=4096)
def country_code(text: str) -> str | None:
    """The two letters (ISO 3166-1) of a country; None where the text names none, or several in different languages."""
    plain = _plain(text)
    if len(plain) == _CODE_LETTERS and plain.isalpha() and plain.isascii():
        # Two letters are taken as they stand, old and reserved codes too: both sides of a comparison may use them.
        return _alias(plain.upper())
    if not plain:
        return None
    code = _alias(plain.upper()) if plain.isascii() and plain.isalpha() else None
    if code is not None and len(code) == _CODE_LETTERS:
        return code
    return _by_name().get(plain)


def _alias(code: str) -> str:
    """Today's code of two letters for an older one, one of three letters, or one that is merely usual (UK)."""
    instead: list[str] = get_global("territory_aliases").get(code, [])
    return instead[0] if len(instead) == 1 else code


@cache
def _by_name() -> dict[str, str]:
    """Every country by its names. A name that two countries have in two languages tells neither."""
    found: dict[str, str | None] = {}
    for language in _LANGUAGES:
        for code, name in Locale.parse(language).territories.items():
            if len(code) == _CODE_LETTERS and code.isalpha():
                spelled = _plain(name)
                found[spelled] = code if found.get(spelled, code) == code else None
    return {name: code for name, code in found.items() if code is not None} | _ALSO


def _plain(text: str) -> str:
    """Lower case without accents; every sign a space, but the points of U.S.A. nothing."""
    letters = unicodedata.normalize("NFKD", text.replace(".", "").replace("'", ""))
    kept = "".join(letter if letter.isalnum() else " " for letter in letters if not unicodedata.combining(letter))
    return " ".join(unicodedata.normalize("NFKC", kept).casefold().split())
