"""Guards of the product, each with how it is broken in the source, and the test that notices.

A test is worth what it catches. Next: `__main__.py`, which breaks them one by one in a copy.
"""

from __future__ import annotations

import msgspec


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """One guard: in ``file`` the text ``sound``, which is there once, becomes ``broken``, and ``noticed_by`` fails."""

    name: str
    invariant: str
    file: str
    sound: str
    broken: str
    noticed_by: str


def _guard(name: str, invariant: str, file: str, sound: str, broken: str, noticed_by: str) -> Guard:
    return Guard(
        name=name,
        invariant=invariant,
        file=f"src/accordant/{file}",
        sound=sound,
        broken=broken,
        noticed_by=f"tests/{noticed_by}",
    )


GUARDS = (
    _guard(
        "commit before the disk has it",
        "IN1",
        "store/engine.py",
        'raw.execute("PRAGMA synchronous=FULL")',
        'raw.execute("PRAGMA synchronous=NORMAL")',
        "integration/store/test_engine.py::test_the_next_commit_of_the_same_connection_waits_again",
    ),
    _guard(
        "a signature is compared",
        "IN2",
        "connectors/sdk/signatures.py",
        "matched |= hmac.compare_digest(spelled, candidate)",
        "matched |= bool(spelled) or bool(candidate)",
        "connectors/stripe/test_signature.py::test_everything_else_is_refused",
    ),
    _guard(
        "done with the effect, not before it",
        "EF2",
        "store/claims.py",
        'sql = "UPDATE inbox_work SET attempts = attempts + 1 WHERE seq = ?"',
        "sql = \"UPDATE inbox_work SET attempts = attempts + 1, state = 'processed' WHERE seq = ?\"",
        "integration/store/test_inbox_suite.py::TestSqlInbox::test_what_nobody_settled_comes_again_with_its_tries_counted",
    ),
    _guard(
        "a parked lane stops",
        "OR4",
        "store/claims.py",
        "        inbox_work.c.lane.not_in(select(parked_lane.c.lane)),\n",
        "",
        "integration/store/test_inbox.py::test_a_parked_lane_stops_itself_only",
    ),
    _guard(
        "only what dies alone is blamed",
        "OR4",
        "store/claims.py",
        "SUSPECT_CLAIMS = 2",
        "SUSPECT_CLAIMS = 99",
        "integration/store/test_claims.py::test_a_batch_that_dies_is_taken_apart",
    ),
    _guard(
        "a worker that lives has killed nobody",
        "OR4",
        "pipeline/work.py",
        "        inbox.give_back([event.seq for event in events])\n",
        "",
        "integration/pipeline/test_work.py::test_however_long_the_store_is_away_no_event_is_blamed_for_it",
    ),
    _guard(
        "lanes are fenced",
        "OR1",
        "store/lanes.py",
        "                raise StaleLease\n",
        "                return\n",
        "integration/store/test_lanes.py::test_who_was_taken_for_dead_commits_nothing_and_comes_back_under_a_new_token",
    ),
    _guard(
        "a courier's verdict is fenced",
        "EF1",
        "store/outbox.py",
        "if done != len(verdicts):",
        "if done > len(verdicts):",
        "integration/store/test_outbox.py::test_one_lost_lease_stores_nothing_of_the_group",
    ),
    _guard(
        "a state follows the version it was decided on",
        "OR2",
        "store/state.py",
        "bulk.upsert(connection, entity, _ENTITY, entities, only_if_version_follows=True)",
        "bulk.upsert(connection, entity, _ENTITY, entities)",
        "integration/store/test_state.py::test_rivals_for_one_version_have_one_winner",
    ),
    _guard(
        "one key for all tries of one request",
        "EF4",
        "pipeline/write_protocol.py",
        "    if sent is not None and is_again and sent.answered_at is None and _is_trusted(protocol, sent, now):\n",
        "    if sent is None and is_again:\n",
        "unit/pipeline/test_write_protocol.py::test_within_its_life_a_key_comes_again_with_the_very_same_request",
    ),
    _guard(
        "another content has another key",
        "EF4",
        "pipeline/write_protocol.py",
        'key = f"{base}-{content[:_PRINT_DIGITS]}"',
        'key = f"{base}-{content[:0]}"',
        "unit/pipeline/test_write_protocol.py::test_another_content_of_the_same_intent_has_another_key",
    ),
    _guard(
        "not found is not yet not there",
        "EF3",
        "pipeline/write_protocol.py",
        "if sent is None or waited > protocol.settles_after or _was_refused(sent):",
        "if sent is None or waited >= timedelta():",
        "unit/pipeline/test_write_protocol.py::test_an_answer_that_was_lost_is_never_read_as_failure",
    ),
    _guard(
        "the gate is asked once more before the bytes leave",
        "EF6",
        "pipeline/deliver.py",
        "        if stops:\n            raise WriteForbidden",
        "        if len(stops) < 0:\n            raise WriteForbidden",
        "integration/pipeline/test_policy_flips.py::test_a_flip_while_a_call_waits_for_its_turn_stops_it",
    ),
    _guard(
        "a redriven event goes to the head",
        "RE2",
        "store/redrive.py",
        "attempts=0, due_at=arrived, settled_at=None",
        "attempts=0, due_at=to_micros(now) + 3_600_000_000, settled_at=None",
        "integration/operations/test_redrive.py::test_a_revived_event_goes_first_even_for_a_worker_whose_clock_is_behind",
    ),
    _guard(
        "a redriven write goes to the head",
        "RE2",
        "store/redrive.py",
        "            _to_the_head(connection, intents, now)\n",
        "",
        "integration/operations/test_redrive.py::test_a_redriven_write_goes_before_all_that_waited_behind_it",
    ),
    _guard(
        "a store that was put back is noticed",
        "RE4",
        "ports/epochs.py",
        "return mark.number < self.number or",
        "return mark.number < 0 or",
        "unit/operations/test_epoch_watch.py::test_a_note_that_is_ahead_of_the_store_still_is_one",
    ),
    _guard(
        "the note of what went out only goes on",
        "RE4",
        "operations/epoch_watch.py",
        "        with self._one_at_a_time, self._marker.alone():\n            noted = self._marker.read()\n",
        "        with self._one_at_a_time:\n            noted = self._marker.read()\n",
        "unit/operations/test_epoch_watch.py::test_of_two_processes_the_slower_does_not_put_the_note_back",
    ),
    _guard(
        "what was before a restore is told by the source's clock",
        "RE4",
        "pipeline/write_protocol.py",
        "heard_to = noticed_at if epoch.said_to is None else max(noticed_at, epoch.said_to)",
        "heard_to = noticed_at",
        "unit/pipeline/test_write_protocol.py::test_a_watch_that_is_behind_does_not_take_what_was_written_for_new",
    ),
    _guard(
        "a job that was left is ended first",
        "EF1",
        "pipeline/courier.py",
        "await requests.jobs.end_those_left(target, bulky)",
        "await asyncio.sleep(0)",
        "integration/pipeline/test_bulk_rounds.py::test_a_job_of_a_courier_that_was_killed_overwrites_nothing_newer",
    ),
    _guard(
        "a job is noted before it begins",
        "EF1",
        "connectors/salesforce/bulk.py",
        "        await note(job)\n",
        "",
        "connectors/salesforce/test_bulk.py::test_a_job_is_noted_before_it_can_begin",
    ),
    _guard(
        "who requests does not approve",
        "GO2",
        "operations/widen.py",
        "    if same_person(actor, proposal.requested_by):\n",
        "    if not actor:\n",
        "integration/operations/test_widen.py::test_an_approver_who_requests_needs_another_one",
    ),
    _guard(
        "what a person says is stored before it is posted",
        "IN1",
        "operations/word_desk.py",
        "        (reception,) = self._inbox.accept([word.arrival()])\n",
        "        self._state.commit(self._process(word.unstored()), now=self._clock())\n"
        "        return self._answer(word, event.id, OrderOutcome.POSTED)\n"
        "        (reception,) = self._inbox.accept([word.arrival()])\n",
        "integration/operations/test_words.py::test_books_rebuilt_from_the_inbox_alone_are_the_same_to_the_byte",
    ),
    _guard(
        "a key of a person's word is for one thing",
        "IN3",
        "operations/word_desk.py",
        "if kept.digest != word.asked:",
        "if False:",
        "integration/operations/test_words.py::test_a_key_used_for_something_else_is_refused_and_leaves_nothing",
    ),
    _guard(
        "a rebuild closes periods when they were closed",
        "RE1",
        "operations/scratch.py",
        "return _ScratchBooks(own, live=self._live.books, periods=own)",
        "return _ScratchBooks(own, live=self._live.books, periods=self._live.books)",
        "integration/operations/test_rebuild.py::test_words_months_and_periods_come_out_of_a_rebuild_as_they_are",
    ),
)
