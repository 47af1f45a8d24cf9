"""What a decision about whose record it is comes to, before anything is kept; and that every one can be undone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from accordant.canonical.matching import (
    Candidate,
    Considered,
    Evidence,
    RecordLink,
    ReviewCase,
    ReviewState,
    Rung,
    Subject,
    review_case_id,
)
from accordant.canonical.review import ReviewAction
from accordant.operations.review import Decided, Declined, ReviewOrder, decide
from accordant.ports.matching import DecidedCase
from accordant.ports.review import CaseFile, Place, ReviewAct

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
PLACE = Place("acc_1", "crm", "Account")
SUBJECT = Subject(account_id="acc_1", external_id="cus_1", name="Example")


def a_record(record_id: str, *keys: str, deleted: bool = False) -> Candidate:
    return Candidate(system="crm", object="Account", id=record_id, cross_references=keys, deleted=deleted)


def a_case(*records: Candidate, waits: bool = True) -> ReviewCase:
    said = Evidence(rung=Rung.EMAIL, what="e-mail", ours="a@example.com", theirs="a@example.com", strength=100)
    return ReviewCase(
        id=review_case_id("acc_1", "crm", "Account"),
        account_id="acc_1",
        system="crm",
        object="Account",
        subject=SUBJECT,
        why="Two records have the same e-mail.",
        candidates=tuple(Considered(candidate=one, rung=Rung.EMAIL, evidence=(said,)) for one in records),
        waits=waits,
        charter="abc",
        opened_at=NOW,
    )


def a_link(target_id: str | None, key: str = "cus_1", account_id: str = "acc_1") -> RecordLink:
    return RecordLink(
        account_id=account_id,
        system="crm",
        object="Account",
        key=key,
        target_id=target_id,
        rung=Rung.EMAIL,
        evidence=(),
        charter="abc",
        actor="accordant",
        linked_at=NOW,
    )


def a_file(
    *offered: Candidate,
    state: ReviewState | None = ReviewState.OPEN,
    chosen: Candidate | None = None,
    link: RecordLink | None = None,
    written: tuple[str, ...] = (),
    owners: tuple[RecordLink, ...] = (),
) -> CaseFile:
    decided = None if state is None else DecidedCase(case=a_case(*offered), state=state)
    return CaseFile(
        place=PLACE,
        subject=SUBJECT,
        decided=decided,
        history=(),
        link=link,
        written=written,
        chosen=chosen,
        owners=owners,
    )


def order(action: ReviewAction, target_id: str | None = None, reason: str = "I asked them.") -> ReviewOrder:
    return ReviewOrder(action=action, place=PLACE, target_id=target_id, actor="ada", reason=reason)


def done(
    asked: ReviewOrder, file: CaseFile, *, now: datetime = NOW, keeps_apart: bool = False
) -> tuple[ReviewAct, Decided]:
    found = decide(asked, file=file, charter="def", keeps_apart=keeps_apart, now=now)
    assert not isinstance(found, Declined), found
    return found


def declined(asked: ReviewOrder, file: CaseFile) -> str:
    found = decide(asked, file=file, charter="def", keeps_apart=False, now=NOW)
    assert isinstance(found, Declined)
    assert found.remedy
    return found.sentence


def after(file: CaseFile, act: ReviewAct) -> CaseFile:
    """The file as it is once an act was kept."""
    decision = act.decision
    written = (*decision.linked, *(one for one in file.written if one not in decision.unlinked))
    return msgspec.structs.replace(
        file,
        decided=DecidedCase(case=act.case, state=act.state, chosen_id=act.chosen_id),
        history=(*file.history, decision),
        link=act.link,
        written=written,
        chosen=None,
    )


# -- one decision ------------------------------------------------------------------------------------------------------


def test_to_accept_links_the_record_and_lets_the_lane_go_on() -> None:
    record = a_record("001")
    act, said = done(order(ReviewAction.ACCEPT, "001"), a_file(record, chosen=record))
    assert (act.state, act.expected, act.waits) == (ReviewState.ACCEPTED, ReviewState.OPEN, False)
    assert act.link == msgspec.structs.replace(a_link("001"), rung=None, charter="def", actor="ada")
    assert act.decision.linked == ("001",)
    assert said.sentence == "cus_1 is Account 001 of crm."
    assert (act.audit.kind, act.audit.actor, act.audit.body["reason"]) == (
        "review.case.accepted",
        "ada",
        "I asked them.",
    )


def test_a_record_of_another_customer_is_shared_with_it() -> None:
    record = a_record("001", "cus_9")
    act, said = done(order(ReviewAction.ACCEPT, "001"), a_file(record, chosen=record))
    assert act.link is not None
    assert act.link.key == "cus_9"
    assert "shared with cus_9" in said.sentence


def test_customers_are_not_sent_round_in_a_circle() -> None:
    record = a_record("001", "cus_9")
    file = a_file(record, chosen=record, owners=(a_link("002", key="cus_1", account_id="acc_9"),))
    assert "they would go round" in declined(order(ReviewAction.ACCEPT, "001"), file)


@pytest.mark.parametrize(
    "chosen", [None, a_record("001", deleted=True), msgspec.structs.replace(a_record("001"), merged_into="002")]
)
def test_only_a_live_record_can_be_accepted(chosen: Candidate | None) -> None:
    assert "no live Account 001" in declined(order(ReviewAction.ACCEPT, "001"), a_file(chosen=chosen))


def test_what_was_written_elsewhere_before_is_told_to_be_merged_by_hand() -> None:
    record = a_record("002")
    _, said = done(order(ReviewAction.ACCEPT, "002"), a_file(record, chosen=record, written=("001",)))
    assert said.by_hand is not None
    assert "merge 001 into 002 by hand" in said.by_hand


def test_a_new_record_is_not_led_back_to_the_old_one() -> None:
    act, _ = done(order(ReviewAction.CREATE), a_file(written=("001",)))
    assert (act.state, act.decision.unlinked) == (ReviewState.CREATED, ("001",))
    assert act.link is not None
    assert (act.link.target_id, act.link.key, act.link.actor) == (None, "cus_1", "ada")


def test_one_of_two_is_rejected_and_the_other_stays_a_question() -> None:
    act, said = done(order(ReviewAction.REJECT, "001"), a_file(a_record("001"), a_record("002")))
    assert (act.state, act.waits, act.decision.rejected) == (ReviewState.OPEN, True, ("001",))
    assert [one.candidate.id for one in act.case.candidates] == ["002"]
    assert "1 left to decide about" in said.sentence


def test_all_are_rejected_at_once() -> None:
    act, _ = done(order(ReviewAction.REJECT), a_file(a_record("001"), a_record("002")))
    assert (act.state, act.waits, act.decision.rejected) == (ReviewState.REJECTED, False, ("001", "002"))


def test_what_is_not_offered_cannot_be_rejected() -> None:
    assert "nothing to reject" in declined(order(ReviewAction.REJECT, "009"), a_file(a_record("001")))
    assert "nothing to reject" in declined(order(ReviewAction.REJECT), a_file())


def test_a_link_nobody_asked_about_can_be_taken_apart() -> None:
    act, said = done(order(ReviewAction.SPLIT), a_file(state=None, link=a_link("001"), written=("001", "000")))
    assert (act.expected, act.state, act.link) == (None, ReviewState.REJECTED, None)
    assert (act.decision.rejected, act.decision.unlinked) == (("001",), ("001",))
    assert "The next write for cus_1 empties the key field of it" in said.sentence
    shared, told = done(order(ReviewAction.SPLIT), a_file(state=None, link=a_link("001", key="cus_9")))
    assert (shared.link, told.by_hand) == (None, None)
    assert "empties" not in told.sentence


def test_what_was_decided_is_not_decided_again() -> None:
    for action in (ReviewAction.ACCEPT, ReviewAction.CREATE, ReviewAction.REJECT):
        file = a_file(a_record("001"), state=ReviewState.CREATED, chosen=a_record("001"))
        assert "decided already: created" in declined(order(action, "001"), file)
        assert "no question" in declined(order(action, "001"), a_file(state=None, chosen=a_record("001")))


@pytest.mark.parametrize("reason", ["", "   ", "x" * 301])
def test_a_decision_needs_a_reason(reason: str) -> None:
    record = a_record("001")
    assert "needs a reason" in declined(order(ReviewAction.ACCEPT, "001", reason), a_file(record, chosen=record))


def test_nothing_to_take_apart_and_nothing_to_undo() -> None:
    assert "no link" in declined(order(ReviewAction.SPLIT), a_file())
    assert "no link" in declined(order(ReviewAction.SPLIT), a_file(link=a_link(None)))
    assert "Nothing was decided" in declined(order(ReviewAction.UNDO), a_file())


# -- and back ----------------------------------------------------------------------------------------------------------

RECORD, OTHER = a_record("001"), a_record("002")


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        (order(ReviewAction.ACCEPT, "001"), a_file(RECORD, OTHER, chosen=RECORD, written=("000",))),
        (order(ReviewAction.CREATE), a_file(RECORD, written=("000", "00A"))),
        (order(ReviewAction.REJECT, "001"), a_file(RECORD, OTHER)),
        (order(ReviewAction.REJECT), a_file(RECORD, OTHER)),
        (order(ReviewAction.SPLIT), a_file(state=ReviewState.ACCEPTED, link=a_link("001"), written=("001",))),
        (order(ReviewAction.MERGE, "002"), a_file(state=None, chosen=OTHER, link=a_link("001"), written=("001",))),
    ],
)
def test_every_decision_can_be_undone(asked: ReviewOrder, file: CaseFile) -> None:
    act, _ = done(asked, file)
    then = after(file, act)
    back, said = done(order(ReviewAction.UNDO), then, now=NOW + timedelta(hours=1))
    assert f"Decision 1 ({asked.action}, by ada) is undone." == said.sentence
    assert back.link == file.link
    assert back.allowed == act.decision.rejected
    assert set(after(then, back).written) == set(file.written)
    assert back.state is (file.decided.state if file.decided is not None else ReviewState.LAPSED)
    if file.decided is not None:
        assert back.case == file.decided.case
        assert back.waits == (file.decided.state is ReviewState.OPEN)
    assert (back.decision.number, back.decision.undone, back.audit.kind) == (2, 1, "review.decision.undone")


def test_an_undo_takes_back_the_last_decision_that_still_stands() -> None:
    file = a_file(RECORD, OTHER, chosen=RECORD)
    first, _ = done(order(ReviewAction.REJECT, "002"), file)
    file = msgspec.structs.replace(after(file, first), chosen=RECORD)
    second, _ = done(order(ReviewAction.ACCEPT, "001"), file)
    file = after(file, second)
    third, said = done(order(ReviewAction.UNDO), file)
    assert said.sentence.startswith("Decision 2 (accept")
    fourth, said = done(order(ReviewAction.UNDO), after(file, third))
    assert said.sentence.startswith("Decision 1 (reject")
    assert [one.candidate.id for one in fourth.case.candidates] == ["001", "002"]
    assert "Nothing was decided" in declined(order(ReviewAction.UNDO), after(after(file, third), fourth))
