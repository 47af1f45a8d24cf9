"""Has what the files say the shape of a charter? Unknown keys, missing keys and wrong types, all at once."""

import difflib
import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import msgspec
from msgspec import inspect

from accordant.canonical.charter import Charter, FlowPart, SystemPart
from accordant.governance.findings import place
from accordant.store.charter_yaml import SPOILED, Value

#: What a person may leave out because it follows from the rest; `charter_folder` fills it in.
FILLED_IN: dict[type, frozenset[str]] = {
    Charter: frozenset({"mappings", "ownership"}),
    SystemPart: frozenset({"connector"}),
    FlowPart: frozenset({"name", "object"}),
}

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
#: The word that stands for every field in ``write_fields``.
ALL_FIELDS = "all"


class Misfit(msgspec.Struct, frozen=True):
    """A value that does not fit: its path, what is wrong and what would be right."""

    path: str
    problem: str
    remedy: str


def check_shape(value: Value) -> tuple[Misfit, ...]:
    """Everything about the shape of a charter that is not as it has to be."""
    return tuple(_check(value, inspect.type_info(Charter), ""))


def charter_schema(*, is_part: bool = False) -> dict[str, Any]:
    """The JSON Schema of the folder's contents taken together, for editors that complete and check while one types.

    ``is_part``: of one file among several, where what is missing may stand in another.
    """
    schema = msgspec.json.schema(Charter)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Accordant charter"
    for kind, filled_in in FILLED_IN.items():
        part = schema["$defs"][kind.__name__]
        part["required"] = [name for name in part["required"] if name not in filled_in]
    fields = schema["$defs"]["FlowPart"]["properties"]
    fields["write_fields"] = {"anyOf": [fields["write_fields"], {"const": ALL_FIELDS}]}
    if is_part:
        del schema["$defs"]["Charter"]["required"]
    return schema


def _check(value: Value, kind: inspect.Type, path: str) -> Iterator[Misfit]:
    if value is SPOILED:
        return
    match kind:
        case inspect.StructType():
            yield from _check_part(value, kind, path)
        case inspect.UnionType(types=(inspect.StructType() as part, inspect.NoneType())) if value is not None:
            yield from _check_part(value, part, path)
        case inspect.DictType() if isinstance(value, dict):
            for key, item in value.items():
                # A key may have to be one of a few words.
                yield from _check(key, kind.key_type, place(path, key))
                yield from _check(item, kind.value_type, place(path, key))
        case inspect.VarTupleType() if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _check(item, kind.item_type, place(path, index))
        case inspect.EnumType():
            words = [str(member.value) for member in kind.cls]
            if value not in words:
                yield Misfit(path, f"{value!r} is none of the words for this.", f"Use {_one_of(str(value), words)}.")
        case _:
            stands_for_all = value == ALL_FIELDS and path.endswith(".write_fields")
            if not stands_for_all and not _fits(value, kind):
                yield _wrong(value, kind, path)


def _check_part(value: Value, kind: inspect.StructType, path: str) -> Iterator[Misfit]:
    if not isinstance(value, dict):
        yield _wrong(value, kind, path)
        return
    known = {field.encode_name: field for field in kind.fields}
    for key, item in value.items():
        if key in known:
            yield from _check(item, known[key].type, place(path, key))
        else:
            yield Misfit(place(path, key), f"There is no setting {key!r} here.", f"Use {_one_of(key, list(known))}.")
    filled_in = FILLED_IN.get(kind.cls, frozenset())
    for name, field in known.items():
        if field.required and name not in value and name not in filled_in:
            yield Misfit(place(path, name), f"{name} is missing.", f"Add {name}: {_say_type(field.type)}.")


def _fits(value: Value, kind: inspect.Type) -> bool:
    return value is SPOILED or _is_of(value, kind)


def _is_of(value: Value, kind: inspect.Type) -> bool:
    match kind:
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.NoneType():
            return value is None
        case inspect.DateType():
            return _is_day(value)
        case inspect.UnionType():
            return any(_fits(value, option) for option in kind.types)
        case inspect.VarTupleType():
            return isinstance(value, list) and all(_fits(item, kind.item_type) for item in value)
        case _:
            return False


def _is_day(value: Value) -> bool:
    if not isinstance(value, str) or _DAY.fullmatch(value) is None:
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _wrong(value: Value, kind: inspect.Type, path: str) -> Misfit:
    found = "nothing" if value is None else _NAMES.get(type(value), "something else")
    return Misfit(path, f"Here stands {found}.", f"Write {_say_type(kind)}.")


_NAMES: dict[type, str] = {
    str: "text",
    int: "a number",
    bool: "true or false",
    dict: "a group of settings",
    list: "a list",
}


_WORDS: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.BoolType: "true or false",
    inspect.IntType: "a whole number",
    inspect.NoneType: "nothing",
    inspect.DateType: "a day as in 2027-01-31",
    inspect.VarTupleType: "a list",
}


def _say_type(kind: inspect.Type) -> str:
    match kind:
        case inspect.EnumType():
            return "one of " + ", ".join(str(member.value) for member in kind.cls)
        case inspect.UnionType():
            return " or ".join(_say_type(option) for option in kind.types)
        case _:
            return _WORDS.get(type(kind), "a group of settings")


def _one_of(word: str, words: list[str]) -> str:
    near = difflib.get_close_matches(word, words, n=1)
    listed = ", ".join(sorted(words))
    return f"{near[0]}, or one of: {listed}" if near else f"one of: {listed}"
