"""Before a record is created: was it known, and where is it now? Nothing is made beside a record that we knew."""

from __future__ import annotations

import msgspec

from accordant.canonical.charter import IdentityPart
from accordant.canonical.matching import Candidate
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.canonical.targets import CurrentRecord, Whereabouts, object_spec
from accordant.identity.ladder import Ladder
from accordant.kernel.ids import EntityId
from accordant.pipeline.recognize import Recognized, Recognizer, Search
from accordant.ports.connector import DestinationClass, WriteProtocol
from tests.unit.pipeline.ledger import MAPPINGS, NOW, LedgerTarget, leased
from tests.unit.pipeline.memory import Memory

ACCOUNTS = object_spec(MAPPINGS["accounts"])


def a_fate(target_id: str, *, key: str | None = None, deleted: bool = False, into: str | None = None) -> Whereabouts:
    return Whereabouts(
        target_id=target_id,
        deleted=deleted or into is not None,
        merged_into=into,
        key=key,
        record=CurrentRecord(target_id=target_id, fields={"Name": "Theirs"}),
    )


async def ask(
    target: LedgerTarget, memory: Memory, *keys: str, step: int = 0, search: Search | None = None
) -> dict[str, Recognized]:
    """What was recognized, by key."""
    sent = (leased(key, step=step, lane=f"crm:acc_{key}") for key in keys)
    intents = {str(one.intent.id): one.intent for one in sent}
    recognizer = Recognizer(memory=memory, search=search, charter="abc", clock=lambda: NOW)
    held = await target.read(ACCOUNTS, keys)
    found = await recognizer.recognize(tuple(intents.values()), spec=ACCOUNTS, held=held, outbound=target)
    return {intents[name].key: one for name, one in found.items()}


async def one_lost(target: LedgerTarget, memory: Memory) -> Recognized:
    return (await ask(target, memory, "cus_1"))["cus_1"]


async def test_a_customer_nobody_has_written_yet_is_not_asked_about() -> None:
    target = LedgerTarget()
    assert await ask(target, Memory(), "cus_1") == {}
    assert target.calls == ["read"]


async def test_a_record_that_is_where_it_was_needs_no_word() -> None:
    target = LedgerTarget(records={"cus_1": CurrentRecord(target_id="001", fields={})})
    assert await ask(target, Memory({"acc_cus_1": "001"}), "cus_1") == {}
    assert target.calls == ["read"]


async def test_what_hangs_below_an_account_is_not_followed() -> None:
    target = LedgerTarget()
    assert await ask(target, Memory({"acc_cus_1": "001"}), "cus_1", step=1) == {}
    assert target.calls == ["read"]


async def test_a_key_found_on_another_record_moves_the_link() -> None:
    target = LedgerTarget(records={"cus_1": CurrentRecord(target_id="002", fields={})})
    found = await one_lost(target, Memory({"acc_cus_1": "001"}))
    assert found.relink is not None
    assert (found.relink.old, found.relink.new) == (
        ExternalRef("crm", "Account", "001"),
        ExternalRef("crm", "Account", "002"),
    )
    assert found.relink.why == "cus_1 is the key of 002 now. It was the key of 001."
    assert (found.address, found.case) == (None, None)


async def test_a_record_that_lost_its_key_is_written_by_its_id() -> None:
    found = await one_lost(LedgerTarget(fates={"001": a_fate("001")}), Memory({"acc_cus_1": "001"}))
    assert (found.address, found.relink, found.case) == ("001", None, None)
    assert found.before == CurrentRecord(target_id="001", fields={"Name": "Theirs"})


async def test_a_merged_record_is_followed_to_the_last_survivor() -> None:
    fates = {"001": a_fate("001", into="002"), "002": a_fate("002", into="003"), "003": a_fate("003")}
    target = LedgerTarget(fates=fates)
    found = await one_lost(target, Memory({"acc_cus_1": "001"}))
    assert found.address == "003"
    assert found.relink is not None
    assert (found.relink.new.id, found.relink.path) == ("003", ("002",))
    assert found.relink.why == "001 was merged into 003 in crm."
    assert target.calls == ["read", "whereabouts", "whereabouts", "whereabouts"]


async def test_a_survivor_that_belongs_to_another_customer_is_a_question() -> None:
    memory = Memory({"acc_cus_1": "001"}, {"002": Candidate(system="crm", object="Account", id="002", name="Other")})
    found = await one_lost(
        LedgerTarget(fates={"001": a_fate("001", into="002"), "002": a_fate("002", key="cus_9")}), memory
    )
    assert (found.address, found.relink) == (None, None)
    assert found.case is not None
    assert "001 of cus_1 was merged into 002, which carries the key of another customer, cus_9" in found.case.why
    (considered,) = found.case.candidates
    assert considered.candidate.name == "Other"
    assert [(one.ours, one.theirs, one.against) for one in considered.evidence] == [("cus_1", "cus_9", True)]
    assert found.case.waits


async def test_a_record_given_to_another_customer_is_a_question() -> None:
    found = await one_lost(LedgerTarget(fates={"001": a_fate("001", key="cus_9")}), Memory({"acc_cus_1": "001"}))
    assert found.case is not None
    assert "001 of cus_1 is still there, but carries the key of another customer" in found.case.why
    assert found.case.candidates[0].candidate.cross_references == ("cus_9",)


async def test_a_deleted_or_forgotten_record_is_not_made_again_by_itself() -> None:
    memory = Memory({"acc_cus_1": "001"})
    deleted = await one_lost(LedgerTarget(fates={"001": a_fate("001", deleted=True)}), memory)
    forgotten = await one_lost(LedgerTarget(), memory)
    for found, said in ((deleted, "in the recycle bin"), (forgotten, "no longer knows it")):
        assert (found.address, found.relink) == (None, None)
        assert found.case is not None
        assert said in found.case.why
        assert found.case.candidates == ()
        assert (found.case.account_id, found.case.charter, found.case.opened_at) == ("acc_cus_1", "abc", NOW)


async def test_records_merged_into_one_another_are_a_question_and_no_endless_walk() -> None:
    fates = {"001": a_fate("001", into="002"), "002": a_fate("002", into="001")}
    found = await one_lost(LedgerTarget(fates=fates), Memory({"acc_cus_1": "001"}))
    assert found.case is not None
    assert "name one another" in found.case.why


async def test_many_are_asked_for_together_and_only_one_gets_a_record_they_share() -> None:
    keys = [f"cus_{number}" for number in range(20)]
    fates = {f"00{number}": a_fate(f"00{number}", into="survivor") for number in range(20)}
    target = LedgerTarget(fates=fates | {"survivor": a_fate("survivor")})
    found = await ask(target, Memory({f"acc_{key}": f"00{number}" for number, key in enumerate(keys)}), *keys)
    assert target.calls == ["read", "whereabouts", "whereabouts"]
    assert [key for key, one in found.items() if one.address == "survivor"] == ["cus_0"]
    others = [one.case for key, one in found.items() if key != "cus_0"]
    assert all(case is not None and "the key of another customer, cus_0" in case.why for case in others)


# -- what a person said, and who else is there -------------------------------------------------------------------------


async def test_while_a_question_is_open_the_whole_lane_waits() -> None:
    memory = Memory({"acc_cus_1": "001"}, waiting={"acc_cus_1": "Which of two?"})
    for step in (0, 1):
        found = await ask(LedgerTarget(), memory, "cus_1", step=step)
        assert found["cus_1"] == Recognized(withheld="Which of two?")


async def test_a_key_on_a_record_that_was_rejected_is_taken_off_it() -> None:
    target = LedgerTarget(records={"cus_1": CurrentRecord(target_id="001", fields={})})
    memory = Memory(rejected={"acc_cus_1": frozenset({"001"})}, first={"001": {"Name": "Before us"}})
    assert await one_lost(target, memory) == Recognized(frees="001", given_back={"Name": "Before us"})


class SearchedTarget(LedgerTarget):
    """One whose search lags behind its writes."""

    def protocol(self, object_name: str) -> WriteProtocol:
        return WriteProtocol(destination_class=DestinationClass.SEARCH_ONLY)


async def test_where_nobody_can_tell_what_became_of_a_write_a_person_takes_it_off() -> None:
    target = SearchedTarget(records={"cus_1": CurrentRecord(target_id="001", fields={})})
    found = await one_lost(target, Memory(rejected={"acc_cus_1": frozenset({"001"})}))
    assert found.case is not None
    assert found.withheld == found.case.why
    assert "crm holds the key cus_1 on 001, of which a person said that it is another's" in found.case.why


async def test_the_record_a_person_chose_is_not_exchanged_before_it_was_ever_written() -> None:
    target = LedgerTarget(records={"cus_1": CurrentRecord(target_id="002", fields={})})
    found = await one_lost(target, Memory({"acc_cus_1": "001"}, chosen={"acc_cus_1"}))
    assert found.relink is None
    assert found.case is not None
    assert [one.candidate.id for one in found.case.candidates] == ["001", "002"]
    later = await one_lost(target, Memory({"acc_cus_1": "001"}, chosen={"acc_cus_1"}, written={"001"}))
    assert later.relink is not None


def a_stranger(record_id: str, **known: object) -> Candidate:
    return msgspec.convert({"system": "crm", "object": "Account", "id": record_id, **known}, Candidate)


SEARCH = Search(ladder=Ladder.of(IdentityPart()), fields={}, reference_key=None)


async def test_a_stranger_with_the_same_mailbox_is_a_question_and_no_second_record_is_made() -> None:
    target = LedgerTarget(strangers=[a_stranger("00X", name="Example Robotics", emails=("billing@robotics.test",))])
    memory = Memory(emails={"acc_cus_1": "billing@robotics.test"})
    found = await ask(target, memory, "cus_1", "cus_2", search=SEARCH)
    assert found.keys() == {"cus_1"}
    assert found["cus_1"].case is not None
    assert "00X was found by its email" in (found["cus_1"].withheld or "")
    assert [one.candidate.id for one in found["cus_1"].case.candidates] == ["00X"]
    assert target.calls == ["read", "search"]


async def test_a_like_name_alone_stops_nothing() -> None:
    target = LedgerTarget(strangers=[a_stranger("00X", name="Example Robotics", emails=("other@elsewhere.test",))])
    assert await ask(target, Memory(), "cus_1", search=SEARCH) == {}


async def test_who_was_rejected_is_not_offered_again_and_a_person_may_want_a_new_record() -> None:
    target = LedgerTarget(strangers=[a_stranger("00X", name="Example Robotics", emails=("billing@robotics.test",))])
    emails = {"acc_cus_1": "billing@robotics.test"}
    rejected = Memory(emails=emails, rejected={"acc_cus_1": frozenset({"00X"})})
    assert await ask(target, rejected, "cus_1", search=SEARCH) == {}
    assert await ask(target, Memory(emails=emails, chosen={"acc_cus_1"}), "cus_1", search=SEARCH) == {}
    assert target.calls.count("search") == 1


async def test_two_strangers_are_both_shown() -> None:
    strangers = [a_stranger(name, name="Other", emails=("billing@robotics.test",)) for name in ("00Y", "00X")]
    memory = Memory(emails={"acc_cus_1": "billing@robotics.test"})
    found = await ask(LedgerTarget(strangers=strangers), memory, "cus_1", search=SEARCH)
    assert found["cus_1"].case is not None
    assert [one.candidate.id for one in found["cus_1"].case.candidates] == ["00X", "00Y"]
    assert "crm was searched before a record was created: 2 records have the same" in found["cus_1"].case.why


# -- documents that were made ------------------------------------------------------------------------------------------


async def ask_document(target: LedgerTarget, memory: Memory) -> Recognized | None:
    sent = leased("jrn_1", step=1).intent
    intent = msgspec.structs.replace(sent, entity=EntityRef(EntityKind.LEDGER_DOCUMENT, EntityId("jrn_1")))
    recognizer = Recognizer(memory=memory, search=None, charter="abc", clock=lambda: NOW)
    found = await recognizer.recognize([intent], spec=ACCOUNTS, held={}, outbound=target)
    return found.get(intent.id)


async def test_a_document_that_was_never_made_is_not_asked_about() -> None:
    target = LedgerTarget()
    assert await ask_document(target, Memory()) is None
    assert target.calls == []


async def test_a_document_without_its_key_is_refused_and_one_that_still_has_it_is_written_there() -> None:
    memory = Memory(made={"jrn_1": "inv,7"})
    stripped = await ask_document(LedgerTarget(fates={"inv,7": a_fate("inv,7")}), memory)
    assert stripped is not None
    assert stripped.refusal is not None
    assert (stripped.refusal.code, stripped.address) == ("KEY_TAKEN_OFF", None)
    assert "inv,7 of crm is the document jrn_1" in stripped.refusal.message
    there = await ask_document(LedgerTarget(fates={"inv,7": a_fate("inv,7", key="jrn_1")}), memory)
    assert there is not None
    assert (there.refusal, there.address) == (None, "inv,7")


async def test_a_document_that_was_deleted_or_whose_id_is_another_s_by_now_is_made_anew() -> None:
    memory = Memory(made={"jrn_1": "inv,7"})
    assert await ask_document(LedgerTarget(), memory) is None
    assert await ask_document(LedgerTarget(fates={"inv,7": a_fate("inv,7", key="jrn_9")}), memory) is None
