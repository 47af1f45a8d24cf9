"""What a mapped field is made of: one fact, a path into the owner's entity, or an expression of facts.

Every fact that is read is known without running anything, since the owner of each has to agree. Next: `mapping`.
"""

import difflib
import re
from collections.abc import Iterator

import msgspec
from msgspec import inspect

from accordant.canonical.charter import FieldPart
from accordant.canonical.deals import Company, Opportunity
from accordant.canonical.entities import Account, Invoice, Payment, Product, Refund, Subscription
from accordant.canonical.facts import FACTS, FactType
from accordant.canonical.refs import EntityKind
from accordant.kernel.errors import RejectedError
from accordant.kernel.money import Money

#: Before a fact's name in an expression: whether the owner says that there is none.
EMPTY = "empty"

_ENTITIES: dict[EntityKind, type[msgspec.Struct]] = {
    EntityKind.ACCOUNT: Account,
    EntityKind.PRODUCT: Product,
    EntityKind.SUBSCRIPTION: Subscription,
    EntityKind.INVOICE: Invoice,
    EntityKind.PAYMENT: Payment,
    EntityKind.REFUND: Refund,
    EntityKind.COMPANY: Company,
    EntityKind.OPPORTUNITY: Opportunity,
}
#: Parts of an entity that are no fact themselves, and the fact whose owner speaks for them.
_GOVERNED_BY = {"delinquent": "status", "has_payment_method": "payment_method_status"}
_FACT_NAMES = frozenset(name for facts in FACTS.values() for name in facts)

_TEXT = r"""
    [rR][bB]?(?:\"\"\".*?\"\"\"|'''.*?'''|\"[^\"\n]*\"|'[^'\n]*')
  | [bB]?(?:
        \"\"\"(?:[^\\]|\\.)*?\"\"\" | '''(?:[^\\]|\\.)*?'''
      | \"(?:[^\"\\\n]|\\.)*\" | '(?:[^'\\\n]|\\.)*'
    )
"""
_TOKEN = re.compile(
    rf"""
    (?P<gap>\s+|//[^\n]*)
  | (?P<text>{_TEXT})
  | (?P<fraction>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<number>0x[0-9a-fA-F]+u?|\d+u?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>[-+*/%<>=!&|?:.,()\[\]{{}}])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class ExpressionUnreadable(RejectedError):
    """The expression holds something that is no part of the language."""

    remedy = "Compare it with docs/reference/expressions.md."


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """The names in an expression: ``roots`` stand for values, ``calls`` for functions; ``fractions`` are numbers that
    are not whole. ``asked`` are facts whose emptiness is asked for. ``built`` are names before a brace.
    """

    roots: frozenset[str]
    asked: frozenset[str]
    calls: frozenset[str]
    built: frozenset[str]
    fractions: tuple[str, ...]


class PathInvalid(RejectedError):
    """The path leads nowhere in this kind of entity."""


class PathType(msgspec.Struct, frozen=True):
    """Where a path leads: the steps over attributes, the key of a map at its end (or None), and the type it finds."""

    steps: tuple[str, ...]
    key: str | None
    type: FactType


def words_of(expression: str) -> Words:
    """The names in an expression, without what stands in its texts and comments. Raises ExpressionUnreadable."""
    tokens = list(_tokens(expression))
    roots, asked, calls, built = set(), set(), set(), set()
    for place, (kind, text) in enumerate(tokens):
        if kind != "name":
            continue
        before = tokens[place - 1][1] if place else ""
        after = tokens[place + 1][1] if place + 1 < len(tokens) else ""
        if after == "(":
            calls.add(text)
        elif after == "{":
            built.add(text)
        elif before != ".":
            roots.add(text)
        elif place > 1 and tokens[place - 2][1] == EMPTY:
            asked.add(text)
    return Words(
        roots=frozenset(roots),
        asked=frozenset(asked),
        calls=frozenset(calls),
        built=frozenset(built),
        fractions=tuple(text for kind, text in tokens if kind == "fraction"),
    )


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(expression):
        found = _TOKEN.match(expression, place)
        if found is None or found.lastgroup is None:
            raise ExpressionUnreadable(
                f"The expression cannot be read at character {place + 1}: {expression[place : place + 20]!r}."
            )
        place = found.end()
        if found.lastgroup != "gap":
            yield found.lastgroup, found.group()


def facts_read(part: FieldPart) -> tuple[str, ...]:
    """The facts a field is made of, sorted: the source of a flow must own each of them.

    A path counts as the fact of its first step. An expression without facts is a constant and belongs to nobody; one
    that cannot be read has none either, and is refused where the mapping is checked.
    """
    if part.path:
        root = part.path.partition(".")[0]
        return (_GOVERNED_BY.get(root, root),)
    if part.expression:
        try:
            words = words_of(part.expression)
        except ExpressionUnreadable:
            return ()
        return tuple(sorted((words.roots | words.asked) & _FACT_NAMES))
    return (part.source,)


def path_type(entity: EntityKind, path: str) -> PathType:
    """What a path finds in an entity of this kind. A map's key is all that follows: ``metadata.a.b`` is the key "a.b".

    Raises PathInvalid, with what could stand instead.
    """
    holder = _ENTITIES.get(entity)
    if holder is None:
        raise PathInvalid(f"Entities of kind {entity} cannot be read by a path.", remedy="Use source.")
    steps: list[str] = []
    rest = path
    kind: inspect.Type = inspect.type_info(holder)
    while isinstance(kind, inspect.StructType) and kind.cls is not Money:
        step, _, rest = rest.partition(".")
        fields = {field.name: field.type for field in kind.fields}
        if step not in fields:
            near = difflib.get_close_matches(step, fields, n=3) or sorted(fields)
            raise PathInvalid(f"There is no `{step}` in `{path}`.", remedy=f"Use one of: {', '.join(near)}.")
        if step.endswith("_minor"):
            remedy = "Use a fact of type money as source."
            raise PathInvalid(f"`{path}` is an amount without its currency.", remedy=remedy)
        steps.append(step)
        kind = _stated(fields[step])
    if isinstance(kind, inspect.DictType) and isinstance(kind.value_type, inspect.StrType):
        if not rest:
            raise PathInvalid(f"`{path}` is a group of values.", remedy=f"Name one of them: {path}.KEY.")
        return PathType(tuple(steps), rest, FactType.TEXT)
    found = _plain(kind)
    if found is None:
        raise PathInvalid(f"`{path}` is a list, which no field can hold.", remedy="Use a fact that sums it up.")
    if rest:
        raise PathInvalid(f"`{path}` goes on after a value of type {found}.", remedy=f"Write {'.'.join(steps)}.")
    return PathType(tuple(steps), None, found)


def paths_of(entity: EntityKind) -> dict[str, FactType]:
    """Every path into an entity of this kind, maps written as ``metadata.KEY``, with what it finds."""
    found: dict[str, FactType] = {}
    holder = _ENTITIES.get(entity)
    for field in () if holder is None else msgspec.structs.fields(holder):
        for path in (field.name, f"{field.name}.KEY"):
            try:
                found[path] = path_type(entity, path).type
            except PathInvalid:
                continue
    return found


def _stated(kind: inspect.Type) -> inspect.Type:
    """The type without None: what was not stated is unknown, whatever its type."""
    if isinstance(kind, inspect.UnionType):
        stated = [option for option in kind.types if not isinstance(option, inspect.NoneType)]
        return stated[0] if len(stated) == 1 else kind
    return kind


def _plain(kind: inspect.Type) -> FactType | None:
    match kind:
        case inspect.StrType():
            return FactType.TEXT
        case inspect.BoolType():
            return FactType.FLAG
        case inspect.IntType():
            return FactType.NUMBER
        case inspect.DateTimeType():
            return FactType.INSTANT
        case inspect.DateType():
            return FactType.DAY
        case inspect.StructType():
            return FactType.MONEY if kind.cls is Money else None
        case _:
            return None
