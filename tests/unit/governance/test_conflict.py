"""One winner for every contested field, the loser kept, and a sentence that says which rule decided and on what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.charter import Winner
from accordant.canonical.conflicts import Claim, ConflictRule, FieldMark, Ruling, Side
from accordant.governance.conflict import WinnerRule, is_contested, rule_on

CONFIRMED_AT = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
MARK = FieldMark("Old", 3, CONFIRMED_AT)
MINUTE = timedelta(minutes=1)


def ruled(
    winner: Winner,
    *,
    field: str = "Name",
    owner_at: datetime | None = None,
    target_at: datetime | None = None,
    unchanged: bool = False,
    by: str | None = None,
) -> Ruling:
    return rule_on(
        WinnerRule(winner=winner, financial=frozenset({"MRR"})),
        field,
        owner=Claim(field=field, value="Old" if unchanged else "New", system="billing", at=owner_at, by=by),
        target=Claim(field=field, value="Typed", system="crm", at=target_at),
        mark=MARK,
        unchanged=unchanged,
    )


@pytest.mark.parametrize(
    ("held", "desired", "contested"),
    [("Old", "New", False), ("New", "New", False), ("Typed", "New", True), ("Typed", "Old", True), (None, "Old", True)],
)
def test_a_conflict_is_a_value_neither_confirmed_nor_wanted(held: str | None, desired: str, contested: bool) -> None:
    assert is_contested(held, desired, confirmed="Old") is contested


@pytest.mark.parametrize("winner", list(Winner))
@pytest.mark.parametrize("unchanged", [False, True])
def test_billing_wins_the_financial_state_whatever_the_rule_says(winner: Winner, unchanged: bool) -> None:
    later = CONFIRMED_AT + 9 * MINUTE
    ruling = ruled(winner, field="MRR", unchanged=unchanged, owner_at=CONFIRMED_AT + MINUTE, target_at=later)
    assert (ruling.rule, ruling.winner) == (ConflictRule.FINANCIAL, Side.OWNER)
    assert "billing wins always" in ruling.sentence


@pytest.mark.parametrize("winner", list(Winner))
@pytest.mark.parametrize(
    ("field", "there", "words"),
    [
        ("lines", "[]", "Undo the change there, or cancel the document in the books"),
        ("state", "cancelled", "took this document back"),
    ],
)
def test_what_is_posted_is_written_over_by_nobody(winner: Winner, field: str, there: str, words: str) -> None:
    rule = WinnerRule(winner=winner, financial=frozenset({field}), posted=frozenset({field}))
    owner, target = Claim(field=field, value="x", system="billing"), Claim(field=field, value=there, system="erp")
    ruling = rule_on(rule, field, owner=owner, target=target, mark=MARK, unchanged=True)
    assert (ruling.rule, ruling.winner) == (ConflictRule.POSTED, None)
    assert words in ruling.sentence
    draft = Claim(field=field, value="draft", system="erp")
    again = rule_on(rule, field, owner=owner, target=draft, mark=MARK, unchanged=True)
    assert (again.rule, again.winner) == (ConflictRule.FINANCIAL, Side.OWNER)  # which may still be posted


def test_the_system_of_record_wins_and_a_person_decides_where_the_charter_says_so() -> None:
    ours = ruled(Winner.SYSTEM_OF_RECORD)
    assert (ours.rule, ours.winner) == (ConflictRule.SYSTEM_OF_RECORD, Side.OWNER)
    held = ruled(Winner.PERSON)
    assert (held.rule, held.winner) == (ConflictRule.PERSON, None)
    assert "left as it is" in held.sentence
    kept = ruled(Winner.SYSTEM_OF_RECORD, by="ada")
    assert kept.winner is Side.OWNER
    assert kept.sentence.startswith("ada kept this value")


LATEST = [
    # name, owner at, target at (minutes after our last write; None: unknown), unchanged, rule, winner, what it says
    ("only the target moved", None, None, True, ConflictRule.LATEST, Side.TARGET, "has said nothing new since"),
    ("the target is later", 1, 2, False, ConflictRule.LATEST, Side.TARGET, "only after that"),
    ("the owner is later", 2, 1, False, ConflictRule.LATEST, Side.OWNER, "The later value"),
    ("nobody dates the owner", None, 1, False, ConflictRule.SYSTEM_OF_RECORD, Side.OWNER, "Nobody can say when"),
    ("nobody dates the target", 1, None, False, ConflictRule.SYSTEM_OF_RECORD, Side.OWNER, "does not say when"),
    ("a stamp before our own", 1, -1, False, ConflictRule.SYSTEM_OF_RECORD, Side.OWNER, "before our own last write"),
    ("one second", 1, 1, False, ConflictRule.SYSTEM_OF_RECORD, Side.OWNER, "within the second"),
]


@pytest.mark.parametrize(
    ("owner", "target", "unchanged", "rule", "winner", "said"), [row[1:] for row in LATEST], ids=[r[0] for r in LATEST]
)
def test_the_later_value_stays_only_where_both_times_can_be_trusted(
    owner: int | None, target: int | None, unchanged: bool, rule: ConflictRule, winner: Side, said: str
) -> None:
    ruling = ruled(
        Winner.LATEST,
        owner_at=None if owner is None else CONFIRMED_AT + owner * MINUTE,
        target_at=None if target is None else CONFIRMED_AT + target * MINUTE,
        unchanged=unchanged,
    )
    assert (ruling.rule, ruling.winner) == (rule, winner)
    assert said in ruling.sentence
    if rule is ConflictRule.SYSTEM_OF_RECORD:
        assert "the system of record, billing, wins" in ruling.sentence


moments = st.none() | st.integers(-7200, 7200).map(lambda s: CONFIRMED_AT + timedelta(seconds=s))


@given(
    winner=st.sampled_from(Winner),
    owner_at=moments,
    target_at=moments,
    unchanged=st.booleans(),
    field=st.sampled_from(["Name", "MRR"]),
)
def test_there_is_always_exactly_one_verdict_and_it_names_the_field(
    winner: Winner, owner_at: datetime | None, target_at: datetime | None, unchanged: bool, field: str
) -> None:
    ruling = ruled(winner, field=field, owner_at=owner_at, target_at=target_at, unchanged=unchanged)
    assert (ruling.winner is None) is (ruling.rule is ConflictRule.PERSON)
    assert field in ruling.sentence
    assert ruling.sentence.endswith(".")
