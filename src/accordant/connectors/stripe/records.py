"""What the objects that are written to Stripe have in common: names of fields, values, and a field of the metadata.
Guarantees that no name leads to a parameter that is not listed, however a mapping spells it. Next: customers.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time

from accordant.canonical.charter import FieldType
from accordant.canonical.intents import WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.sdk.decode import JsonObject
from accordant.kernel.clock import from_unix_seconds
from accordant.kernel.errors import RejectedError

METADATA = "metadata."
# https://docs.stripe.com/api/metadata
METADATA_NAME_LENGTH_MAX = 40
METADATA_VALUE_LENGTH_MAX = 500


class ValueUnreadable(RejectedError):
    """A value that Stripe would not take, or a field that is not written there."""

    remedy = "Correct the mapping of this field, or the value at its source."


def metadata_name(field: str) -> str | None:
    """The name in the metadata that a field stands for; None for a field of the object itself."""
    return field.removeprefix(METADATA) if field.startswith(METADATA) else None


def checked_metadata_name(field: str) -> str:
    """The same for a field that has to be one. Raises ValueUnreadable."""
    name = metadata_name(field)
    if not name or len(name) > METADATA_NAME_LENGTH_MAX or not name.isprintable() or set(name) & set("[]'\"\\"):
        raise ValueUnreadable(
            f"{field!r} names nothing in Stripe's metadata.",
            remedy=f"Write metadata.NAME, {METADATA_NAME_LENGTH_MAX} characters at most, without brackets and quotes.",
        )
    return name


def known(spec: ObjectSpec, names: Iterable[str], fields: Mapping[str, FieldType]) -> None:
    """Raises ValueUnreadable for a field that is none of ``fields`` and not in the metadata."""
    for name in names:
        if name not in spec.fields:
            raise ValueUnreadable(f"{spec.name}.{name} is to be written and is not in the mapping.")
        if metadata_name(name) is not None:
            checked_metadata_name(name)
        elif name not in fields:
            raise ValueUnreadable(
                f"Stripe's {spec.name} takes no field {name!r} from us.",
                remedy=f"Map one of {', '.join(sorted(fields))}, or metadata.NAME.",
            )


def text(spec: ObjectSpec, name: str, value: WireValue) -> str | None:
    """Text without space around it; None for nothing. A flag or a number in the metadata is spelled."""
    if value is None:
        return None
    if metadata_name(name) is not None:
        spelled = ("true" if value else "false") if isinstance(value, bool) else str(value)
        if len(spelled) > METADATA_VALUE_LENGTH_MAX:
            raise ValueUnreadable(
                f"{spec.name}.{name} has {len(spelled)} characters; Stripe keeps {METADATA_VALUE_LENGTH_MAX}."
            )
        return spelled.strip() or None
    if not isinstance(value, str):
        raise ValueUnreadable(f"{spec.name}.{name} is to be text, not {value!r}.")
    return value.strip() or None


def number(spec: ObjectSpec, name: str, value: WireValue) -> int | None:
    """A whole number from 0."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueUnreadable(f"{spec.name}.{name} is to be a whole number from 0, not {value!r}.")


def flag(spec: ObjectSpec, name: str, value: WireValue) -> bool | None:
    """A flag; nothing said is nothing said."""
    if value is None or isinstance(value, bool):
        return value
    raise ValueUnreadable(f"{spec.name}.{name} is to be a flag, not {value!r}.")


def moment(spec: ObjectSpec, name: str, value: WireValue) -> str | None:
    """An instant in UTC, or the day where the mapping says it is a date."""
    if value is None:
        return None
    is_day = spec.fields[name].type is FieldType.DATE
    try:
        seconds = unix_seconds(str(value))
    except ValueError:
        wanted = "a day like 2026-03-14" if is_day else "an instant like 2026-03-14T09:00:00Z"
        raise ValueUnreadable(f"{spec.name}.{name} is to be {wanted}, not {value!r}.") from None
    return spelled_moment(spec, name, seconds)


def spelled_moment(spec: ObjectSpec, name: str, seconds: object) -> str | None:
    """Stripe's seconds as the mapping has them."""
    if not isinstance(seconds, int):
        return None
    at = from_unix_seconds(seconds)
    return at.date().isoformat() if spec.fields[name].type is FieldType.DATE else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def unix_seconds(spelled: str) -> int:
    """A day or an instant in Stripe's seconds; a day begins at midnight UTC. Raises ValueError."""
    if len(spelled) == len("2026-03-14"):
        return int(datetime.combine(date.fromisoformat(spelled), time(), UTC).timestamp())
    at = datetime.fromisoformat(spelled)
    if at.tzinfo is None:
        raise ValueError(spelled)
    return int(at.timestamp())


def read_metadata(held: JsonObject, field: str) -> str | None:
    """What an object holds in a field of its metadata."""
    values = held.get("metadata")
    value = values.get(checked_metadata_name(field)) if isinstance(values, dict) else None
    return value if isinstance(value, str) and value else None


def spelled(value: WireValue) -> str:
    """A value as a form holds it; nothing takes away what is there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def metadata_form(fields: Mapping[str, WireValue]) -> list[tuple[str, str]]:
    """The parameters for the fields of the metadata."""
    return [
        (f"metadata[{checked_metadata_name(name)}]", spelled(value))
        for name, value in sorted(fields.items())
        if metadata_name(name) is not None
    ]
