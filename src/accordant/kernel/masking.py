"""How a personal value is covered: one shortened form for each kind of value, the same in every place of the product.

Pure text in, pure text out. Covering twice is covering once, so that a second wall may stand behind the first.
"""

import re

COVER_LETTER = "\N{BULLET}"
#: What stands for a value that is not shown at all, and for the rest of a name: its length says nothing.
COVER = COVER_LETTER * 3

# reliability.md PR2: card numbers show at most six and four digits, every other number its end alone.
_CARD_DIGITS_MIN, _CARD_DIGITS_MAX = 15, 19
_END_SHOWN, _SHORT_END_SHOWN, _HIDDEN_MIN = 4, 2, 4

_NOT_IN_NUMBERS = re.compile(rf"[^\w{COVER_LETTER}]|_")
_SHORTENED_CARD = re.compile(rf"\d{{6}}{COVER_LETTER}{{5,9}}\d{{4}}")
_EMAIL = re.compile(
    r"(?P<local>[^\s@<>\"'()\[\],;:=&?/\\]{1,64})(?P<at>@|%40)(?P<domain>(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,62})"
)
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_IBAN = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,4})?(?!\w)")
_PERSONAL_TAX_NUMBER = re.compile(r"(?<![\w-])(?:\d{3}-\d{2}-\d{4}|\d{2}-\d{7})(?![\w-])")
_IBAN_LENGTH_MIN = 15


def cover_name(text: str) -> str:
    """The first letter of each word: ``Ada Lovelace`` becomes ``A••• L•••``."""
    return " ".join(_initial(word) for word in text.split()) or (COVER if text else "")


def cover_email(text: str) -> str:
    """The first letter and the domain: ``ada@mail.example`` becomes ``a•••@mail.example``; no address, all covered."""
    found = _EMAIL.fullmatch(text.strip())
    if found is None:
        return COVER if text else ""
    return _short_email(found)


def cover_number(text: str) -> str:
    """A card number shows six and four digits, any other number its last four, a short one its last two.

    At least four characters stay hidden, or all. Separators are dropped: one number has one shortened form.
    """
    if _SHORTENED_CARD.fullmatch(text):
        return text
    compact = _NOT_IN_NUMBERS.sub("", text)
    length = len(compact)
    if _CARD_DIGITS_MIN <= length <= _CARD_DIGITS_MAX and _is_card(compact):
        return compact[:6] + COVER_LETTER * (length - 10) + compact[-4:]
    shown = _END_SHOWN if length >= 2 * _HIDDEN_MIN else _SHORT_END_SHOWN
    if length - shown < _HIDDEN_MIN:
        return COVER if text else ""
    return COVER_LETTER * (length - shown) + compact[-shown:]


def cover_text(text: str) -> str:
    """Running text with each e-mail address and each number of a card, an account or a person in it shortened."""
    return cover_numbers(cover_addresses(text))


def cover_addresses(text: str) -> str:
    """Running text with its e-mail addresses shortened."""
    return _EMAIL.sub(_short_email, text) if "@" in text or "%40" in text else text


def cover_numbers(text: str) -> str:
    """Running text with its card, bank account and personal tax numbers shortened.

    A number counts as a card's or an account's when its check digits agree, so that ids and instants stay readable.
    """
    if not any(letter.isdigit() for letter in text):
        return text
    text = _IBAN.sub(_short_iban, text)
    text = _CARD.sub(_short_card, text)
    return _PERSONAL_TAX_NUMBER.sub(lambda found: cover_number(found[0]), text)


def _initial(word: str) -> str:
    return word if word == COVER else word[0] + COVER


def _short_email(found: re.Match[str]) -> str:
    return f"{found['local'][0]}{COVER}{found['at']}{found['domain']}"


def _short_card(found: re.Match[str]) -> str:
    compact = _NOT_IN_NUMBERS.sub("", found[0])
    return cover_number(compact) if _is_card(compact) else found[0]


def _short_iban(found: re.Match[str]) -> str:
    """The longest head of the match whose check digits agree: the last groups may be words that follow."""
    text = found[0]
    for end in range(len(text), _IBAN_LENGTH_MIN - 1, -1):
        if _is_iban(text[:end]) and not text[end : end + 1].isalnum():
            return cover_number(text[:end]) + text[end:]
    return text


def _is_card(compact: str) -> bool:
    """Luhn's check digit (ISO/IEC 7812-1, annex B)."""
    if not (compact.isascii() and compact.isdigit()):
        return False
    total = 0
    for place, letter in enumerate(reversed(compact)):
        value = int(letter) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _is_iban(text: str) -> bool:
    """The check digits of ISO 13616: the number read from its fifth character on is 1 modulo 97."""
    compact = text.replace(" ", "")
    if len(compact) < _IBAN_LENGTH_MIN or not compact.isascii():
        return False
    moved = compact[4:] + compact[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1
