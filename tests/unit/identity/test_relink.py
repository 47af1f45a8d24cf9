"""A trail of merges ends in one live record, in a gone one, or is refused; it never goes round for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.targets import CurrentRecord, Whereabouts
from accordant.identity.relink import HOPS_MAX, Circular, Followed, Gone, Stands, Unasked, follow

IDS = st.sampled_from([f"00{n}" for n in range(15)])


def a_record(record_id: str, *, deleted: bool = False, merged_into: str | None = None) -> Whereabouts:
    record = CurrentRecord(target_id=record_id, fields={})
    return Whereabouts(
        target_id=record_id,
        deleted=deleted or merged_into is not None,
        merged_into=merged_into,
        key=None,
        record=record,
    )


def merged(record_id: str, into: str) -> Whereabouts:
    return a_record(record_id, merged_into=into)


def test_a_record_that_nothing_happened_to_stands() -> None:
    found = follow("001", {"001": a_record("001")})
    assert found == Stands(a_record("001"), ("001",))
    assert isinstance(found, Stands)
    assert not found.was_merged


def test_merges_of_merges_lead_to_the_last_survivor() -> None:
    told = {"001": merged("001", "002"), "002": merged("002", "003"), "003": a_record("003")}
    found = follow("001", told)
    assert found == Stands(told["003"], ("001", "002", "003"))
    assert isinstance(found, Stands)
    assert found.was_merged


def test_a_hop_that_was_not_asked_for_is_asked_for() -> None:
    assert follow("001", {}) == Unasked("001")
    assert follow("001", {"001": merged("001", "002")}) == Unasked("002")


def test_a_trail_may_end_at_a_deleted_or_a_forgotten_record() -> None:
    assert follow("001", {"001": a_record("001", deleted=True)}) == Gone(("001",), forgotten=False)
    assert follow("001", {"001": merged("001", "002"), "002": None}) == Gone(("001", "002"), forgotten=True)


def test_records_that_name_one_another_are_refused() -> None:
    assert follow("001", {"001": merged("001", "001")}) == Circular(("001", "001"))
    two = {"001": merged("001", "002"), "002": merged("002", "001")}
    assert follow("001", two) == Circular(("001", "002", "001"))


def test_a_trail_without_an_end_is_refused() -> None:
    told = {f"{n}": merged(f"{n}", f"{n + 1}") for n in range(HOPS_MAX * 2)}
    found = follow("0", told)
    assert isinstance(found, Circular)
    assert len(found.path) == HOPS_MAX + 2


@given(st.dictionaries(IDS, st.one_of(st.none(), IDS)), st.dictionaries(IDS, st.booleans()), IDS)
def test_whatever_a_target_tells_there_is_an_answer(
    into: dict[str, str | None], forgotten: dict[str, bool], start: str
) -> None:
    told = {
        name: None if forgotten.get(name) else a_record(name, deleted=target == name, merged_into=target)
        for name, target in into.items()
    }
    found: Followed = follow(start, told)
    match found:
        case Stands(record=record, path=path):
            assert not record.deleted
            assert path[-1] == record.target_id
            assert len(set(path)) == len(path)
        case Gone(path=path):
            assert len(set(path)) == len(path)
        case Circular(path=path):
            assert path[-1] in path[:-1] or len(path) > HOPS_MAX
        case Unasked(next_id=next_id):
            assert next_id not in told
