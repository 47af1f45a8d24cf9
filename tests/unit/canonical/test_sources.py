"""What a field is made of, known without running anything: paths by type, expressions by the names in them."""

import pytest

from accordant.canonical.charter import FieldPart
from accordant.canonical.facts import FACTS, FactType
from accordant.canonical.refs import EntityKind
from accordant.canonical.sources import (
    ExpressionUnreadable,
    PathInvalid,
    facts_read,
    path_type,
    paths_of,
    words_of,
)


@pytest.mark.parametrize(
    ("path", "found", "key"),
    [
        ("email", FactType.TEXT, None),
        ("created_at", FactType.INSTANT, None),
        ("delinquent", FactType.FLAG, None),
        ("metadata.segment", FactType.TEXT, "segment"),
        ("metadata.sales.region", FactType.TEXT, "sales.region"),
    ],
)
def test_a_path_has_a_type(path: str, found: FactType, key: str | None) -> None:
    told = path_type(EntityKind.ACCOUNT, path)
    assert (told.type, told.key) == (found, key)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("metdata.segment", "metadata"),
        ("metadata", "metadata.KEY"),
        ("tax_ids", "sums it up"),
        ("balance_minor", "money"),
        ("email.local", "Write email"),
        ("", "Use one of"),
        (".email", "Use one of"),
        ("__class__", "Use one of"),
    ],
)
def test_a_path_that_leads_nowhere_says_what_could_stand_instead(path: str, said: str) -> None:
    with pytest.raises(PathInvalid) as refused:
        path_type(EntityKind.ACCOUNT, path)
    assert said in str(refused.value)


def test_an_entity_without_state_of_its_own_has_no_paths() -> None:
    with pytest.raises(PathInvalid):
        path_type(EntityKind.PAYOUT, "status")
    assert paths_of(EntityKind.LEDGER_DOCUMENT) == {}


@pytest.mark.parametrize("kind", sorted(FACTS.keys() - {EntityKind.LEDGER_DOCUMENT}))
def test_every_path_that_is_offered_can_be_used(kind: EntityKind) -> None:
    paths = paths_of(kind)
    assert "external_id" in paths
    assert {path: path_type(kind, path).type for path in paths} == paths


@pytest.mark.parametrize(
    ("part", "facts"),
    [
        (FieldPart(source="mrr"), ("mrr",)),
        (FieldPart(path="email"), ("email",)),
        (FieldPart(path="metadata.segment"), ("metadata",)),
        # Whoever owns the account's status owns what it follows from, under whatever name it is asked for.
        (FieldPart(path="delinquent"), ("status",)),
        (FieldPart(expression="'constant'"), ()),
        (
            FieldPart(expression="mrr.minor > 0 && status == 'active' ? plan_name : name"),
            ("mrr", "name", "plan_name", "status"),
        ),
        (FieldPart(expression="empty.discount ? 'none' : 'some'"), ("discount",)),
        (FieldPart(expression="'mrr' + r'\\' + \"name\" // status\n + '''plan_name'''"), ()),
        (FieldPart(expression="'it\\'s' + name"), ("name",)),
        (FieldPart(expression="name.name"), ("name",)),
        (FieldPart(expression="`name`"), ()),
    ],
)
def test_the_facts_of_a_field_are_known(part: FieldPart, facts: tuple[str, ...]) -> None:
    assert facts_read(part) == facts


@pytest.mark.parametrize("text", ["'open", "name;", "a @ b", "`x`", "\\", "na\u00efve", "#"])
def test_what_is_no_part_of_the_language_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ExpressionUnreadable, match="character"):
        words_of(text)


def test_names_are_told_apart_by_what_stands_beside_them() -> None:
    words = words_of("size(name) > 3 ? empty.email : Foo{x: 1}.y + 1.5")
    assert words.calls == {"size"}
    assert words.asked == {"email"}
    assert words.built == {"Foo"}
    assert words.fractions == ("1.5",)
    assert "y" not in words.roots
