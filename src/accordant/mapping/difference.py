"""What differs between the record desired before and the record desired now: the only fields a write may carry.

A field that the new record does not mention is not touched.
"""

from collections.abc import Mapping

from accordant.canonical.intents import FieldChange, WireValue


def difference(before: Mapping[str, WireValue] | None, after: Mapping[str, WireValue]) -> tuple[FieldChange, ...]:
    """The fields of ``after`` that are not the same in ``before``, sorted by name; ``before`` None means no record yet.

    A field that is missing before holds nothing, so an empty value is no change of it. Values are the same only when
    their types are: 1 is not True.
    """
    held: Mapping[str, WireValue] = {} if before is None else before
    changes = []
    for field, value in after.items():
        was = held.get(field)
        if was != value or type(was) is not type(value):
            changes.append(FieldChange(field, was, value))
    changes.sort(key=lambda change: change.field)
    return tuple(changes)
