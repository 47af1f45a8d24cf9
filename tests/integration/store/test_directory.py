"""The directory on both stores: a record is found by every key it has, replaced whole, and led to by merges."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from sqlalchemy import inspect

from accordant.canonical.charter import IdentityPart
from accordant.canonical.matching import Candidate, KeyKind, MatchKey
from accordant.identity.keys import Reader
from accordant.ports.directory import FANOUT_MAX, DirectoryEntry
from accordant.ports.matching import Scan
from accordant.store.directory import SqlDirectory
from accordant.store.directory_draft import draft_keys, publish_keys
from accordant.store.engine import Database
from accordant.store.schema import directory_key

AT = datetime(2026, 1, 1, tzinfo=UTC)
READER = Reader.of(IdentityPart())


def entry(record: Candidate) -> DirectoryEntry:
    return DirectoryEntry(record=record, keys=READER.record(record).keys())


def record(number: int, *, system: str = "crm", email: str = "a@acme-x.com", into: str | None = None) -> Candidate:
    return Candidate(system=system, object="Account", id=f"001{number}", emails=(email,), merged_into=into)


def email_key(text: str) -> MatchKey:
    return MatchKey(KeyKind.EMAIL, text)


def test_a_record_is_found_by_each_of_its_keys_and_nothing_else(database: Database) -> None:
    directory = SqlDirectory(database)
    known, other = record(1), record(1, system="erp")
    directory.put([entry(known), entry(other)], now=AT)
    for key in entry(known).keys:
        assert directory.lookup("crm", "Account", [key]).records == {"0011": known}
    assert directory.lookup("crm", "Contact", entry(known).keys).records == {}
    assert directory.lookup("crm", "Account", [email_key("b@acme-x.com")]).records == {}
    assert directory.count("crm", "Account") == 1


def test_what_is_put_again_is_no_longer_found_by_its_old_keys(database: Database) -> None:
    directory = SqlDirectory(database)
    directory.put([entry(record(1))], now=AT)
    moved = record(1, email="new@other-x.com")
    directory.put([entry(record(2)), entry(moved)], now=AT)
    assert set(directory.lookup("crm", "Account", [email_key("a@acme-x.com")]).records) == {"0012"}
    assert directory.lookup("crm", "Account", [email_key("new@other-x.com")]).records == {"0011": moved}
    assert directory.remove("crm", "Account", ["0011", "0019"]) == 1
    assert directory.lookup("crm", "Account", [email_key("new@other-x.com")]).records == {}


def test_merges_are_followed_and_do_not_count(database: Database) -> None:
    directory = SqlDirectory(database)
    chain = [record(1, into="0012"), record(2, email="b@b-x.com", into="0013"), record(3, email="c@c-x.com")]
    directory.put([entry(one) for one in chain], now=AT)
    found = directory.lookup("crm", "Account", [email_key("a@acme-x.com")])
    assert set(found.records) == {"0011", "0012", "0013"}
    assert directory.count("crm", "Account") == 1


def test_a_key_that_too_many_share_is_told_and_bounded(database: Database) -> None:
    directory = SqlDirectory(database)
    many = [msgspec.structs.replace(record(number), emails=("a@acme-x.com",)) for number in range(FANOUT_MAX + 5)]
    directory.put([entry(one) for one in many], now=AT)
    key = email_key("a@acme-x.com")
    found = directory.lookup("crm", "Account", [key])
    assert len(found.records) == FANOUT_MAX
    assert found.crowded == {key}
    directory.remove("crm", "Account", [one.id for one in many[FANOUT_MAX:]])
    assert directory.lookup("crm", "Account", [key]).crowded == frozenset()


def test_many_customers_asked_at_once_are_answered_one_by_one(database: Database) -> None:
    directory = SqlDirectory(database)
    chain = [record(1, into="0012"), record(2, email="b@b-x.com"), record(3, email="c@c-x.com")]
    crowd = [record(number, email=f"p{number}@crowd-x.com") for number in range(100, 101 + FANOUT_MAX)]
    directory.put([entry(one) for one in [*chain, *crowd]], now=AT)
    domain = MatchKey(KeyKind.DOMAIN, "crowd-x.com")
    questions = [
        frozenset({email_key("a@acme-x.com")}),
        frozenset({email_key("c@c-x.com"), domain}),
        frozenset({email_key("nobody@c-x.com")}),
        frozenset[MatchKey](),
    ]
    answers = directory.lookup_many("crm", "Account", questions)
    assert [set(one.records) for one in answers[:1]] == [{"0011", "0012"}]
    assert answers[1].crowded == {domain}
    assert len(answers[1].records) == 1 + FANOUT_MAX
    assert [one.records for one in answers[2:]] == [{}, {}]
    assert answers == [directory.lookup("crm", "Account", one) for one in questions]


def test_a_first_reading_is_found_at_its_end_and_a_later_one_at_once(database: Database) -> None:
    directory = SqlDirectory(database)
    scan = Scan(system="crm", object="Account", started_at=AT)
    for _ in range(2):  # a page that is read again after a crash
        directory.keep_page(scan, [entry(record(1)), entry(record(2, email="b@b-x.com"))], now=AT)
    assert directory.lookup("crm", "Account", [email_key("a@acme-x.com")]).records == {}
    done = msgspec.structs.replace(scan, complete_at=AT)
    assert directory.finish_scan(done) == 0
    for one in (record(1), record(2, email="b@b-x.com")):
        for key in entry(one).keys:
            assert directory.lookup("crm", "Account", [key]).records == {one.id: one}
    moved = record(1, email="new@other-x.com")
    directory.keep_page(done, [entry(moved)], now=AT)
    assert directory.lookup("crm", "Account", [email_key("a@acme-x.com")]).records == {}
    assert directory.lookup("crm", "Account", [email_key("new@other-x.com")]).records == {"0011": moved}


@pytest.mark.parametrize("rebuild_from", [1, 1_000])
def test_published_keys_join_those_that_are_there(database: Database, rebuild_from: int) -> None:
    directory = SqlDirectory(database)
    directory.put([entry(record(1))], now=AT)
    with database.write() as connection:
        directory_keys = [(digest, 1) for digest in range(20)]
        (there,) = {row[1] for row in connection.exec_driver_sql("SELECT digest, record FROM directory_key")}
        assert there == 1
        draft_keys(connection, [*directory_keys, *directory_keys])
    before = _keys(database)
    assert publish_keys(database, rebuild_from=rebuild_from) == 40
    assert _keys(database) == before | set(directory_keys)
    assert publish_keys(database, rebuild_from=rebuild_from) == 0
    assert directory.lookup("crm", "Account", [email_key("a@acme-x.com")]).records == {"0011": record(1)}
    assert directory.remove("crm", "Account", ["0011"]) == 1
    assert _keys(database) == set()
    assert _indexes(database) == _indexes_of_the_schema()


def _keys(database: Database) -> set[tuple[int, int]]:
    with database.read() as connection:
        return {(row[0], row[1]) for row in connection.exec_driver_sql("SELECT digest, record FROM directory_key")}


def _indexes(database: Database) -> set[tuple[str | None, tuple[str | None, ...]]]:
    inspector = inspect(database.engine)
    assert inspector.get_pk_constraint("directory_key")["constrained_columns"] == ["digest", "record"]
    return {(one["name"], tuple(one["column_names"])) for one in inspector.get_indexes("directory_key")}


def _indexes_of_the_schema() -> set[tuple[str | None, tuple[str | None, ...]]]:
    return {(str(one.name), tuple(one.columns.keys())) for one in directory_key.indexes}
