"""Which value-added tax number is it, and can the European register be asked about it? Without a call.

Source of the check digits: python-stdnum. The United Kingdom left the register at the end of 2020; Northern Ireland
stayed in it as XI. Greece is EL there, whatever its ISO code.
"""

import msgspec
from stdnum.eu import oss
from stdnum.eu import vat as european
from stdnum.exceptions import ValidationError
from stdnum.util import clean

from accordant.canonical.vat import VatNumber


class NotAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Why the register is not asked about a number: the sentence names no digit of it."""

    because: str
    next_action: str


def vat_number(text: str) -> VatNumber | NotAsked:
    """The number as the register wants it, with its country, or why there is nothing to ask."""
    plain = clean(text, " -./,·").upper()
    prefix = plain[:2]
    if prefix == "GB":
        return NotAsked(
            because="The United Kingdom's numbers left the register at the end of 2020; only XI is still in it.",
            next_action="Check it with HM Revenue and Customs, and record what was found by hand.",
        )
    if prefix in {"EU", "IM"} and oss.is_valid(plain):
        return NotAsked(
            because="A number of the one-stop shop is in no member state's register.",
            next_action="Ask the customer for its number in a member state.",
        )
    country = "EL" if prefix == "GR" else prefix
    if country.lower() not in {*european.MEMBER_STATES, "el"} - {"gr"}:
        return NotAsked(
            because=f"{prefix if prefix.isalpha() else 'What it begins with'} is no member state of the register.",
            next_action="Ask the customer for its number with the two letters of its country.",
        )
    try:
        number = european.validate(plain)
    except ValidationError:
        return NotAsked(
            because=f"Its length or its check digits are not those of a number of {country}.",
            next_action="Ask the customer, and correct the number where it is kept.",
        )
    return VatNumber(country, number[2:])
