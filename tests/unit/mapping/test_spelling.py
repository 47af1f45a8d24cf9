"""How each kind of field spells each kind of fact."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.charter import FieldPart, FieldType
from accordant.canonical.facts import Fact, FactType
from accordant.canonical.intents import WireValue
from accordant.kernel.money import Money
from accordant.mapping.spelling import FACTS_FOR_FIELD, Unspellable, spell_key, speller_of

EXAMPLES: dict[FactType, Fact] = {
    FactType.TEXT: "Example",
    FactType.NUMBER: 3,
    FactType.FLAG: True,
    FactType.MONEY: Money(1200_00, "EUR"),
    FactType.DAY: date(2026, 3, 14),
    FactType.INSTANT: datetime(2026, 3, 14, 9, tzinfo=UTC),
}


def field(kind: FieldType = FieldType.TEXT, **more: object) -> FieldPart:
    return FieldPart(source="name", type=kind, **more)  # type: ignore[arg-type]


def spelled(value: Fact, part: FieldPart) -> WireValue | Unspellable:
    return speller_of(part)(value)


@pytest.mark.parametrize(
    ("value", "kind", "wire"),
    [
        ("Example AG", FieldType.TEXT, "Example AG"),
        (" spaces stay ", FieldType.TEXT, " spaces stay "),
        ("Zoë 🦊 e\u0301", FieldType.TEXT, "Zoë 🦊 e\u0301"),
        ("", FieldType.TEXT, None),
        (7, FieldType.TEXT, "7"),
        (0, FieldType.TEXT, "0"),
        (False, FieldType.TEXT, "false"),
        (date(2026, 3, 14), FieldType.TEXT, "2026-03-14"),
        (datetime(2026, 3, 14, 9, tzinfo=UTC), FieldType.TEXT, "2026-03-14T09:00:00Z"),
        (7, FieldType.NUMBER, 7),
        (True, FieldType.FLAG, True),
        (Money(1200_00, "EUR"), FieldType.CURRENCY, "1200.00"),
        (Money(-5, "EUR"), FieldType.CURRENCY, "-0.05"),
        (Money(0, "EUR"), FieldType.CURRENCY, "0.00"),
        (Money(1200, "JPY"), FieldType.CURRENCY, "1200"),
        (Money(1230, "KWD"), FieldType.CURRENCY, "1.230"),
        (Money(12345678901234567890123456789012, "EUR"), FieldType.CURRENCY, "123456789012345678901234567890.12"),
        (date(2028, 2, 29), FieldType.DATE, "2028-02-29"),
        (datetime(2026, 3, 14, 10, tzinfo=timezone(timedelta(hours=1))), FieldType.INSTANT, "2026-03-14T09:00:00Z"),
        (datetime(2026, 3, 14, 9, 0, 0, 5, tzinfo=UTC), FieldType.INSTANT, "2026-03-14T09:00:00.000005Z"),
        ("cus_1", FieldType.LOOKUP, "cus_1"),
    ],
)
def test_spelling(value: Fact, kind: FieldType, wire: WireValue) -> None:
    answer = spelled(value, field(kind))
    assert answer == wire
    assert type(answer) is type(wire)


@pytest.mark.parametrize("kind", FieldType)
def test_what_is_known_to_be_empty_clears_every_kind_of_field(kind: FieldType) -> None:
    assert spelled(None, field(kind, values={"a": "A"} if kind is FieldType.TEXT else {})) is None


# A lookup spells like text; the check of the mapping is what keeps other facts away from it.
@pytest.mark.parametrize("kind", [kind for kind in FieldType if kind is not FieldType.LOOKUP])
@pytest.mark.parametrize("fact_type", FactType)
def test_a_field_takes_exactly_the_facts_it_declares(kind: FieldType, fact_type: FactType) -> None:
    answer = spelled(EXAMPLES[fact_type], field(kind))
    assert isinstance(answer, Unspellable) is (fact_type not in FACTS_FOR_FIELD[kind])


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("x" * 10, "x" * 10),
        ("x" * 11, "x" * 10),
        ("123456789 abc", "123456789"),
        ("🦊" * 5, "🦊" * 5),
        ("🦊" * 6, "🦊" * 5),
        ("123456789🦊", "123456789"),
        ("12345678👨\u200d👩\u200d👧", "12345678"),
        ("12345678👍🏽", "12345678"),
        ("123456789e\u0301x", "123456789"),
        ("123456789❤\ufe0f", "123456789"),
        ("a" + "\u0301" * 20, "a" + "\u0301" * 9),
    ],
)
def test_text_is_cut_only_where_the_mapping_says_so(value: str, wire: str) -> None:
    assert spelled(value, field(length=10, truncate=True)) == wire
    refused = spelled(value, field(length=10))
    counted = len(value.encode("utf-16-le")) // 2
    assert isinstance(refused, Unspellable) is (counted > 10)
    if isinstance(refused, Unspellable):
        assert f"{counted} characters" in refused.reason


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "ab\udfff"])
def test_text_no_target_can_store_is_refused(text: str) -> None:
    assert isinstance(spelled(text, field()), Unspellable)
    assert isinstance(spell_key(text), Unspellable)


def test_a_picklist_translates_and_refuses_what_it_does_not_list() -> None:
    part = field(values={"active": "Active", "past_due": "Past Due", "true": "Yes"})
    assert spelled("past_due", part) == "Past Due"
    assert spelled(True, part) == "Yes"
    assert spelled("unpaid", part) == Unspellable(
        "'unpaid' is not in the field's list of values (active, past_due, true). Add it to the mapping."
    )


def test_an_instant_without_a_zone_is_refused() -> None:
    assert isinstance(spelled(datetime(2026, 3, 14, 9), field(FieldType.INSTANT)), Unspellable)


@pytest.mark.parametrize("value", [None, "", 5])
def test_a_record_without_a_name_has_no_key(value: Fact) -> None:
    assert isinstance(spell_key(value), Unspellable)


def test_a_key_is_never_changed() -> None:
    assert spell_key(" cus_1 ") == " cus_1 "


@given(st.text(), st.integers(1, 20))
def test_cut_text_always_fits_and_is_a_beginning(text: str, length: int) -> None:
    answer = spelled(text, field(length=length, truncate=True))
    if "\0" in text:
        assert isinstance(answer, Unspellable)
    else:
        assert answer is None or (isinstance(answer, str) and len(answer) <= length and text.startswith(answer))


@pytest.mark.parametrize(
    ("value", "places", "wire"),
    [
        (Money(1234, "KWD"), 3, "1.234"),
        (Money(1234, "KWD"), 4, "1.234"),
        (Money(1230, "KWD"), 2, "1.230"),
        (Money(1234, "JPY"), 0, "1234"),
        (Money(12300, "EUR"), 0, "123.00"),
        (Money(-1230, "KWD"), None, "-1.230"),
    ],
)
def test_an_amount_is_spelled_where_its_field_keeps_every_decimal(value: Money, places: int | None, wire: str) -> None:
    assert spelled(value, field(kind=FieldType.CURRENCY, places=places)) == wire


@pytest.mark.parametrize(
    ("value", "places"),
    [(Money(1234, "KWD"), None), (Money(-1, "KWD"), 2), (Money(1, "EUR"), 1), (Money(150, "EUR"), 0)],
)
def test_an_amount_is_held_rather_than_rounded(value: Money, places: int | None) -> None:
    answer = spelled(value, field(kind=FieldType.CURRENCY, places=places))
    assert isinstance(answer, Unspellable)
    assert "never rounded" in answer.reason


@pytest.mark.parametrize(
    ("zone", "day"), [("Europe/Berlin", "2026-03-15"), ("America/New_York", "2026-03-14"), ("", "2026-03-15")]
)
def test_an_instant_falls_on_the_day_of_the_field_s_zone(zone: str, day: str) -> None:
    speller = speller_of(FieldPart(path="created_at", type=FieldType.DATE, timezone=zone), ZoneInfo("Asia/Tokyo"))
    assert speller(datetime(2026, 3, 14, 23, 30, tzinfo=UTC)) == day
