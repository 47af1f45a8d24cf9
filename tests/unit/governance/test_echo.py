"""Our own write coming back is an echo; anything somebody else changed is news; what we never wrote says nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.conflicts import FieldMark
from accordant.canonical.intents import WireValue
from accordant.governance.echo import Echo, News, Silent, listen

AT = datetime(2026, 3, 14, tzinfo=UTC)
MARKS = {"Name": FieldMark("Example", 3, AT), "MRR": FieldMark("12.00", 2, AT)}


def test_the_three_answers() -> None:
    assert listen({"Name": "Example", "MRR": "12.00", "Owner": "ada"}, MARKS) == Echo(("MRR", "Name"), 3)
    assert listen({"MRR": "12.00"}, MARKS) == Echo(("MRR",), 2)
    assert listen({"Name": "Typed", "MRR": "12.00"}, MARKS) == News(("Name",))
    assert listen({"Owner": "ada"}, MARKS) == Silent()
    assert listen({}, MARKS) == Silent()


values: st.SearchStrategy[WireValue] = st.none() | st.booleans() | st.integers() | st.text(max_size=3)


@given(st.dictionaries(st.sampled_from("abcde"), values), st.dictionaries(st.sampled_from("abcde"), values))
def test_an_echo_differs_in_nothing_we_wrote(told: dict[str, WireValue], written: dict[str, WireValue]) -> None:
    heard = listen(told, {name: FieldMark(value, 1, AT) for name, value in written.items()})
    common = told.keys() & written.keys()
    # A flag is not a number: True and 1 are two values.
    same = {name for name in common if (type(told[name]), told[name]) == (type(written[name]), written[name])}
    match heard:
        case Silent():
            assert not common
        case Echo(fields=fields):
            assert set(fields) == common == same
        case News(fields=fields):
            assert set(fields) == common - same != set()
