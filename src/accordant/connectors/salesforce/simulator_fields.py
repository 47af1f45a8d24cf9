"""Field types of the Salesforce stand-in: what a value must look like to be stored, and what is stored of it.
Guarantees Salesforce's own refusals (code, wording, field list) and silent edits: trimming, rounding, empty to null.
Next: simulator_schema.py for the objects made of these fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, TypeAlias

# A decoded JSON value, as the vendor's clients send and read it.
Json: TypeAlias = Any

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_ID = re.compile(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?")
_EMAIL = re.compile(r"[^@\s,;<>()\"]+@[^@\s,;<>()\"]+\.[^@\s.,;<>()\"]+")
_DATETIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d:?\d\d)")
TEXT_TYPES = frozenset({"string", "textarea", "email", "phone", "url", "picklist", "multipicklist", "encryptedstring"})
NUMBER_TYPES = frozenset({"double", "currency", "percent"})
_STATUS = {
    "NOT_FOUND": 404,
    "ENTITY_IS_DELETED": 404,
    "INVALID_SESSION_ID": 401,
    "REQUEST_LIMIT_EXCEEDED": 403,
    "METHOD_NOT_ALLOWED": 405,
    "PRECONDITION_FAILED": 412,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "SERVER_UNAVAILABLE": 503,
    "UNKNOWN_EXCEPTION": 500,
}


class Refusal(Exception):
    """One error in Salesforce's words. ``parsing`` refusals end the whole request, others only their row."""

    def __init__(
        self, code: str, message: str, fields: tuple[str, ...] | None = None, *, parsing: bool = False
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = fields
        self.parsing = parsing

    @property
    def status(self) -> int:
        """HTTP status a single-record call answers with."""
        return _STATUS.get(self.code, 400)

    def as_call_error(self) -> dict[str, Json]:
        """The member of the error array of a refused call."""
        body: dict[str, Json] = {"message": self.message, "errorCode": self.code}
        return body if self.fields is None else {**body, "fields": list(self.fields)}

    def as_row_error(self) -> dict[str, Json]:
        """The member of ``errors`` of one row of a collection."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields or ())}


def to_long_id(text: str) -> str | None:
    """18-character id of a 15- or 18-character one, or ``None`` when it is no id (or its checksum is wrong)."""
    if not _ID.fullmatch(text):
        return None
    suffix = ""
    for start in (0, 5, 10):
        chunk = text[start : start + 5]
        suffix += _ALPHABET[sum(1 << place for place, char in enumerate(chunk) if "A" <= char <= "Z")]
    long_id = text[:15] + suffix
    return long_id if len(text) == 15 or text[15:].upper() == suffix else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of one object. ``length`` counts characters; ``precision`` and ``scale`` count digits."""

    name: str
    type: str
    label: str = ""
    length: int = 0
    precision: int = 18
    scale: int = 0
    picklist: tuple[str, ...] = ()
    restricted: bool = False
    required: bool = False
    unique: bool = False
    case_sensitive: bool = False
    external_id: bool = False
    reference_to: str = ""
    #: Other objects a lookup may lead to as well; each of its values then says which.
    also: tuple[str, ...] = ()
    relationship: str = ""
    default: Json = None
    writable: bool = True

    @property
    def custom(self) -> bool:
        """Whether a company added the field itself."""
        return self.name.endswith("__c")

    @property
    def leads_to(self) -> tuple[str, ...]:
        """The objects a lookup may lead to; none of any other field."""
        return (self.reference_to, *self.also) if self.reference_to else ()

    @property
    def indexed(self) -> bool:
        """Whether records can be found by this field's value."""
        return self.unique or self.external_id

    def index_key(self, value: Json) -> Json:
        """Salesforce compares external ids without case unless the field says otherwise."""
        return value.casefold() if isinstance(value, str) and not self.case_sensitive else value

    def renamed(self, name: str) -> Field:
        """The same field under another API name."""
        return replace(self, name=name)


def checker(field: Field) -> Callable[[Json], Json]:
    """The function that turns a sent value into the stored one, or raises ``Refusal``."""
    if field.type in TEXT_TYPES:
        return _text_checker(field)
    if field.type in NUMBER_TYPES:
        return _number_checker(field)
    simple: dict[str, Callable[[Field, Json], Json]] = {
        "int": _check_int,
        "boolean": _check_boolean,
        "date": _check_date,
        "datetime": _check_datetime,
        "reference": _check_reference,
    }
    check = simple[field.type]
    return lambda value: check(field, value)


def _text_checker(field: Field) -> Callable[[Json], Json]:
    limit = field.length or 255
    allowed = frozenset(field.picklist) if field.restricted else None
    email = field.type == "email"

    def check(value: Json) -> Json:
        if not isinstance(value, str):
            if isinstance(value, dict | list):
                raise _unreadable(field, value, "string")
            if value is None:
                return None
            value = ("true" if value else "false") if isinstance(value, bool) else str(value)
        value = value.strip()
        if not value:
            return None
        if allowed is not None and value not in allowed:
            message = f"{field.label}: bad value for restricted picklist field: {value}"
            raise Refusal("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, (field.name,))
        if email and not _EMAIL.fullmatch(value):
            raise Refusal("INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {value}", (field.name,))
        if len(value) > limit:
            message = f"{field.label}: data value too large: {value} (max length={limit})"
            raise Refusal("STRING_TOO_LONG", message, (field.name,))
        return value

    return check


def _number_checker(field: Field) -> Callable[[Json], Json]:
    step = Decimal(1).scaleb(-field.scale)
    bound = Decimal(10) ** (field.precision - field.scale)

    def check(value: Json) -> Json:
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
            raise _unreadable(field, value, field.type)
        try:
            number = Decimal(value)
            if not number.is_finite():
                raise _unreadable(field, value, field.type)
        except InvalidOperation:
            raise _unreadable(field, value, field.type) from None
        if abs(number) >= bound:
            message = f"{field.label}: value outside of valid range on numeric field: {value}"
            raise Refusal("NUMBER_OUTSIDE_VALID_RANGE", message, (field.name,))
        # Salesforce rounds half up to the field's scale and says nothing.
        return number.quantize(step, ROUND_HALF_UP)

    return check


def _check_int(field: Field, value: Json) -> Json:
    if value is None or value == "":
        return None
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,12}(\.0+)?", text):
        raise _unreadable(field, value, "int")
    number = int(text.partition(".")[0])
    if abs(number) > 2**31 - 1:
        message = f"{field.label}: value outside of valid range on numeric field: {value}"
        raise Refusal("NUMBER_OUTSIDE_VALID_RANGE", message, (field.name,))
    return number


def _check_boolean(field: Field, value: Json) -> Json:
    if value is None:
        message = f"{field.label}: value not of required type: null"
        raise Refusal("INVALID_TYPE_ON_FIELD_IN_RECORD", message, (field.name,))
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise _unreadable(field, value, "boolean")


def _check_date(field: Field, value: Json) -> Json:
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            day = date.fromisoformat(value)
            if 1700 <= day.year <= 4000:
                return value
    except ValueError:
        pass
    raise _unreadable(field, value, "date")


def _check_datetime(field: Field, value: Json) -> Json:
    if value is None or value == "":
        return None
    stamp = stored_datetime(value) if isinstance(value, str) else None
    if stamp is None:
        raise _unreadable(field, value, "datetime")
    return stamp


def stored_datetime(text: str) -> str | None:
    """UTC to the second in the form Salesforce answers with, or ``None`` when the text is no date and time."""
    found = _DATETIME.fullmatch(text)
    if not found:
        return None
    zone = "+0000" if found[4] == "Z" else found[4].replace(":", "")
    try:
        at = datetime.strptime(f"{found[1]}T{found[2]}{zone}", "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None
    return rendered(at)


def rendered(at: datetime) -> str:
    """``2026-01-31T09:00:00.000+0000``: whole seconds, as Salesforce stamps."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _check_reference(field: Field, value: Json) -> Json:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _unreadable(field, value, "reference")
    long_id = to_long_id(value)
    if long_id is None:
        message = f"{field.label}: id value of incorrect type: {value}"
        raise Refusal("MALFORMED_ID", message, (field.name,))
    return long_id


def _unreadable(field: Field, value: Json, kind: str) -> Refusal:
    token = {dict: "START_OBJECT", list: "START_ARRAY", bool: "VALUE_TRUE", str: "VALUE_STRING"}.get(
        type(value), "VALUE_NUMBER"
    )
    message = f"Cannot deserialize instance of {kind} from {token} value {value} for field {field.name}"
    return Refusal("JSON_PARSER_ERROR", message, parsing=True)
