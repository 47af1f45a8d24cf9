"""Bad input B8, as a table: 220 meetings of a customer and a target's records, with the verdict on each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from accordant.canonical.charter import CustomerModel, IdentityPart
from accordant.canonical.matching import Candidate, Matched, NeedsReview, Rung, Subject, Unmatched
from accordant.identity.ladder import Ladder

LINK, ASK, NONE = "link", "ask", "none"


class Meeting(msgspec.Struct, frozen=True):
    """A customer, the records it meets, and what is to come of it: the id of the linked record, ask, or none."""

    name: str
    subject: Subject
    records: tuple[Candidate, ...]
    verdict: str
    rung: Rung | None = None
    model: CustomerModel = CustomerModel.B2B


def subject(name: str | None = "Acme", email: str | None = None, **more: Any) -> Subject:
    emails = (email,) if email is not None else ()
    return msgspec.convert(
        {"account_id": "acc", "external_id": "cus_1", "name": name, "emails": emails, **more}, Subject
    )


def record(name: str | None = "Acme", email: str | None = None, *, id: str = "001A", **more: Any) -> Candidate:  # noqa: A002
    emails = (email,) if email is not None else ()
    given = {"system": "crm", "object": "Account", "id": id, "name": name, "emails": emails, **more}
    return msgspec.convert(given, Candidate)


# -- mailboxes: which spellings are one ------------------------------------------------------------------------------

_ONE_MAILBOX = [
    ("case of the name", "Bob@acme.com", "bob@acme.com"),
    ("case of the domain", "bob@ACME.COM", "bob@acme.com"),
    ("space around it", "  bob@acme.com ", "bob@acme.com"),
    ("final dot of the domain", "bob@acme.com.", "bob@acme.com"),
    ("gmail dots", "b.o.b@gmail.com", "bob@gmail.com"),
    ("gmail tag", "bob+billing@gmail.com", "bob@gmail.com"),
    ("gmail tag and dots", "b.ob+x+y@gmail.com", "bob@gmail.com"),
    ("googlemail", "bob@googlemail.com", "bob@gmail.com"),
    ("googlemail, dots, tag, case", "B.Ob+Z@GoogleMail.com", "bob@gmail.com"),
    ("outlook tag", "bob+a@outlook.com", "bob@outlook.com"),
    ("hotmail tag", "bob+a@hotmail.com", "bob@hotmail.com"),
    ("fastmail tag", "bob+a@fastmail.com", "bob@fastmail.com"),
    ("icloud tag", "bob+a@icloud.com", "bob@icloud.com"),
    ("proton tag", "bob+a@proton.me", "bob@proton.me"),
    ("protonmail is proton", "bob@protonmail.com", "bob@proton.me"),
    ("pm.me is proton", "bob@pm.me", "bob@proton.me"),
    ("me.com is icloud", "bob@me.com", "bob@icloud.com"),
    ("mac.com is icloud", "bob@mac.com", "bob@icloud.com"),
    ("ya.ru is yandex", "bob@ya.ru", "bob@yandex.ru"),
    ("yandex.com is yandex", "bob@yandex.com", "bob@yandex.ru"),
    ("needless quotes", '"bob"@acme.com', "bob@acme.com"),
    ("quoted dot", '"bob.b"@acme.com', "bob.b@acme.com"),
    ("quoted pair", '"b\\ob"@acme.com', "bob@acme.com"),
    ("needed quotes on both", '"bob smith"@acme.com', '"Bob Smith"@acme.com'),
    ("comment behind the name", "bob(home)@acme.com", "bob@acme.com"),
    ("comment before the name", "(home)bob@acme.com", "bob@acme.com"),
    ("comment behind the address", "bob@acme.com (Bob)", "bob@acme.com"),
    ("IDN and its punycode", "bob@münchen-acme.de", "bob@xn--mnchen-acme-thb.de"),
    ("IDN in capitals", "bob@MÜNCHEN-ACME.de", "bob@münchen-acme.de"),
    ("decomposed umlaut", "bob@mu\u0308nchen-acme.de", "bob@münchen-acme.de"),
    ("ideographic full stop", "bob@acme。com", "bob@acme.com"),
    ("full-width letters", "\uff42\uff4f\uff42@acme.com", "bob@acme.com"),
    ("64 bytes before the sign", f"{'a' * 64}@acme.com", f"{'A' * 64}@acme.com"),
    ("a whole Cyrillic domain", "bob@акме.рф", "bob@xn--80akoi.xn--p1ai"),
]

_TWO_MAILBOXES = [
    ("dots elsewhere", "b.ob@acme.com", "bob@acme.com"),
    ("tag where nobody promises it", "bob+billing@acme.com", "bob@acme.com"),
    ("another name", "alice@acme.com", "bob@acme.com"),
    ("tag at a provider without tags", "bob+a@gmx.de", "bob@gmx.de"),
    ("dots at outlook", "b.ob@outlook.com", "bob@outlook.com"),
    ("65 bytes before the sign", f"{'a' * 65}@acme.com", f"{'a' * 65}@acme.com"),
    ("longer than 254", f"a@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.{'f' * 20}.com", "a@x.com"),
    ("mixed scripts in the domain", "bob@\u0430cme.com", "bob@acme.com"),
    ("mixed scripts on both", "bob@\u0430cme.com", "bob@\u0430cme.com"),
    ("Greek among Latin", "bob@acm\u03b5.com", "bob@acme.com"),
    ("whole-script twin", "bob@\u0430\u0441\u043c\u0435.com", "bob@acme.com"),
    ("no sign", "bob.acme.com", "bob.acme.com"),
    ("two signs", "bob@b@acme.com", "bob@b@acme.com"),
    ("no name", "@acme.com", "@acme.com"),
    ("no domain", "bob@", "bob@"),
    ("one label", "bob@localhost", "bob@localhost"),
    ("an IP address", "bob@127.0.0.1", "bob@127.0.0.1"),
    ("a literal address", "bob@[127.0.0.1]", "bob@[127.0.0.1]"),
    ("space inside", "bo b@acme.com", "bo b@acme.com"),
    ("angle brackets", "<bob@acme.com>", "<bob@acme.com>"),
    ("dot at the end of the name", "bob.@acme.com", "bob.@acme.com"),
    ("two dots in the name", "b..ob@acme.com", "b..ob@acme.com"),
    ("a port", "bob@acme.com:25", "bob@acme.com:25"),
    ("a path", "bob@acme.com/x", "bob@acme.com/x"),
    ("only a tag at gmail", "+x@gmail.com", "+x@gmail.com"),
    ("control sign", "bob\x00@acme.com", "bob@acme.org"),
    ("empty", "", ""),
]


def _mailboxes() -> Iterator[Meeting]:
    for name, ours, theirs in _ONE_MAILBOX:
        yield Meeting(f"one mailbox: {name}", subject("Acme", ours), (record("Acme", theirs),), LINK, Rung.EMAIL)
    for name, ours, theirs in _TWO_MAILBOXES:
        # The names have nothing in common, so that nothing but the mailbox could link.
        expected = ASK if name in _SAME_DOMAIN else NONE
        yield Meeting(f"two mailboxes: {name}", subject("Zebra", ours), (record("Quill", theirs),), expected)


#: Two people of one company: their names do not fit, so a person is asked.
_SAME_DOMAIN = {"dots elsewhere", "tag where nobody promises it", "another name"}

# -- domains that speak for nobody ------------------------------------------------------------------------------------

_FREE_MAIL = """gmail.com googlemail.com outlook.com hotmail.com hotmail.co.uk live.com msn.com yahoo.com yahoo.co.uk
yahoo.fr yahoo.de yahoo.co.jp yahoo.co.in ymail.com rocketmail.com aol.com icloud.com me.com mac.com proton.me
protonmail.com pm.me tutanota.com tuta.com fastmail.com hey.com zoho.com gmx.de gmx.net gmx.com web.de freenet.de
mail.com email.com mail.ru bk.ru list.ru yandex.ru yandex.com rambler.ru ukr.net wp.pl o2.pl onet.pl interia.pl
seznam.cz centrum.cz libero.it virgilio.it orange.fr wanadoo.fr laposte.net free.fr sfr.fr terra.com.br uol.com.br
bol.com.br qq.com 163.com 126.com naver.com"""
_DISPOSABLE = "mailinator.com guerrillamail.com 10minutemail.com yopmail.com trashmail.com temp-mail.org"
_PROVIDERS = "comcast.net verizon.net att.net t-online.de btinternet.com bigpond.com shaw.ca telus.net cox.net"
_UNIVERSITIES = "mit.edu stanford.edu ox.ac.uk cam.ac.uk unimelb.edu.au u-tokyo.ac.jp iitb.ac.in uct.ac.za"
_AGENCIES = "facebook.com linkedin.com linktr.ee example.com bookkeepers-for-all.com"


def _nobodys_domains() -> Iterator[Meeting]:
    for domain in f"{_FREE_MAIL} {_DISPOSABLE} {_PROVIDERS} {_UNIVERSITIES} {_AGENCIES}".split():
        yield Meeting(
            f"nobody's domain: {domain}", subject("Acme Inc", f"a@{domain}"), (record("Acme Ltd", f"b@{domain}"),), NONE
        )
    yield Meeting(
        "a throw-away mailbox on both", subject("A1", "x@yopmail.com"), (record("B2", "x@yopmail.com"),), NONE
    )
    for domain in ("gmail.com", "comcast.net", "mit.edu"):
        yield Meeting(
            f"one mailbox at {domain}, two companies",
            subject("Joe's Pizza", f"bob@{domain}"),
            (record("Kim Nails", f"bob@{domain}"),),
            ASK,
        )
        yield Meeting(
            f"one mailbox at {domain}, one company",
            subject("Joe's Pizza", f"bob@{domain}"),
            (record("Joes Pizza LLC", f"bob@{domain}"),),
            LINK,
            Rung.EMAIL,
        )
    for shop in ("acme.myshopify.com", "acme.github.io"):
        other = shop.replace("acme", "other")
        yield Meeting(
            f"neighbours at {shop}", subject("Acme", f"a@{shop}"), (record("Acme", None, domains=[other]),), NONE
        )
    yield Meeting("a public suffix", subject("Acme", "a@co.uk"), (record("Acme", "b@co.uk"),), NONE)


# -- domain and name ---------------------------------------------------------------------------------------------------

_SAME_NAME = [
    ("the same", "Acme", "Acme"),
    ("legal form", "Acme Inc.", "Acme"),
    ("other legal form", "Acme GmbH", "Acme Ltd"),
    ("two legal forms", "Acme Co., Ltd.", "Acme"),
    ("GmbH & Co. KG", "Acme GmbH & Co. KG", "Acme"),
    ("case and spaces", "ACME   corp", "acme"),
    ("accents", "Société Générale SA", "Societe Generale"),
    ("sharp s", "Straße GmbH", "STRASSE"),
    ("ampersand", "Johnson & Johnson", "Johnson and Johnson"),
    ("order of words", "Traders Northwind", "Northwind Traders"),
    ("article", "The Acme Company", "Acme"),
    ("Russian form before", "\u041e\u041e\u041e Акме", "Акме"),
    ("Japanese form before", "株式会社トヨタ", "トヨタ"),
    ("Japanese form behind", "トヨタ株式会社", "トヨタ"),
    ("apostrophe", "O'Reilly Media, Inc.", "OReilly Media"),
    ("a slip of the pen", "Northwind Tradrs", "Northwind Traders"),
]
_OTHER_NAME = [
    ("subsidiary", "Acme", "Acme Holdings International"),
    ("country branch", "Acme Ltd", "Acme (UK) Limited"),
    ("person", "Bob Smith", "Acme"),
    ("no name here", None, "Acme"),
    ("no name there", "Acme", None),
    ("only a legal form", "GmbH", "Acme"),
    ("blank", "   ", "Acme"),
    ("one letter", "X", "X"),
]


def _names() -> Iterator[Meeting]:
    for name, ours, theirs in _SAME_NAME:
        own, other = subject(ours, "a@acme-x.com"), record(theirs, None, domains=["www.acme-x.com"])
        yield Meeting(f"domain and name: {name}", own, (other,), LINK, Rung.DOMAIN_AND_NAME)
        yield Meeting(f"name alone: {name}", subject(ours), (record(theirs),), NONE)
    for label, our_name, their_name in _OTHER_NAME:
        own, other = subject(our_name, "a@acme-x.com"), record(their_name, "b@eu.acme-x.com")
        yield Meeting(f"domain and another name: {label}", own, (other,), ASK)
    phone: dict[str, Any] = {"phones": ["+1 415 555 2671"]}
    place: dict[str, Any] = {"postcode": "94103", "country": "US"}
    yield Meeting("name and phone", subject(**phone), (record(**phone),), ASK)
    yield Meeting("name and place", subject(**place), (record(**place),), ASK)
    for spelled in ("us", "USA", "United States", "Vereinigte Staaten", "Estados Unidos"):
        there = record(postcode="94103-1234", country=spelled)
        yield Meeting(f"name and place in {spelled}", subject(**place), (there,), ASK)
    yield Meeting("name and phone in another spelling", subject(**phone), (record(phones=["(415) 555-2671"]),), ASK)
    yield Meeting("place alone", subject("Zebra", **place), (record("Quill", **place),), NONE)
    yield Meeting("phone alone", subject("Zebra", **phone), (record("Quill", **phone),), NONE)
    yield Meeting("postcode of another country", subject(**place), (record(postcode="94103", country="DE"),), NONE)
    yield Meeting("two with one name", subject(), (record(id="001A"), record(id="001B")), NONE)
    yield Meeting(
        "banks of two places", subject("First National Bank of Omaha"), (record("First National Bank of Ohio"),), NONE
    )


# -- tax ids -----------------------------------------------------------------------------------------------------------

_VAT, _OTHER_VAT = "DE136695976", "DE811569869"


def _tax_ids() -> Iterator[Meeting]:
    def ids(*texts: str, **more: Any) -> dict[str, Any]:
        return {"tax_ids": list(texts), **more}

    yield Meeting("one VAT id", subject(**ids(_VAT)), (record(**ids("de 136 695 976")),), LINK, Rung.TAX_ID)
    yield Meeting(
        "one VAT id, other name", subject("Zebra", **ids(_VAT)), (record("Quill", **ids(_VAT)),), LINK, Rung.TAX_ID
    )
    yield Meeting(
        "without its prefix", subject(**ids(_VAT)), (record(**ids("136695976", country="DE")),), LINK, Rung.TAX_ID
    )
    yield Meeting("Greek prefixes", subject(**ids("EL094259216")), (record(**ids("GR094259216")),), LINK, Rung.TAX_ID)
    yield Meeting(
        "Swiss suffix", subject(**ids("CHE-116.281.710 MWST")), (record(**ids("CHE116281710")),), LINK, Rung.TAX_ID
    )
    yield Meeting(
        "EIN",
        subject(**ids("12-3456789", country="US")),
        (record(**ids("123456789", country="US")),),
        LINK,
        Rung.TAX_ID,
    )
    yield Meeting("EIN without a country", subject(**ids("12-3456789")), (record(**ids("12-3456789")),), NONE)
    yield Meeting("wrong check digit", subject(**ids("DE136695977")), (record(**ids("DE136695977")),), NONE)
    yield Meeting("zeros", subject(**ids("000000000", country="US")), (record(**ids("000000000", country="US")),), NONE)
    yield Meeting("words", subject(**ids("none")), (record(**ids("none")),), NONE)
    yield Meeting("two with one id", subject(**ids(_VAT)), (record(**ids(_VAT)), record(id="001B", **ids(_VAT))), ASK)
    for name, more in (("e-mail", "a@acme-x.com"), ("domain", "b@acme-x.com")):
        own = subject("Acme", "a@acme-x.com", **ids(_VAT))
        yield Meeting(f"same {name}, other id", own, (record("Acme", more, **ids(_OTHER_VAT)),), ASK)
    yield Meeting(
        "ids of two countries do not differ",
        subject("Acme", "a@acme-x.com", **ids(_VAT)),
        (record("Acme", "a@acme-x.com", **ids("GB980780684")),),
        LINK,
        Rung.EMAIL,
    )
    yield Meeting(
        "id of one, e-mail of another",
        subject("Acme", "a@acme-x.com", **ids(_VAT)),
        (record(**ids(_VAT)), record("Acme", "a@acme-x.com", id="001B")),
        ASK,
    )


# -- records that move -----------------------------------------------------------------------------------------------


def _records() -> Iterator[Meeting]:
    own = subject("Acme", "a@acme-x.com")
    twin: dict[str, Any] = {"domains": ["acme-x.com"]}
    yield Meeting("stored reference", own, (record("Zebra", cross_references=["cus_1"]),), LINK, Rung.CROSS_REFERENCE)
    yield Meeting(
        "stored reference against everything",
        subject("Acme", "a@acme-x.com", tax_ids=[_VAT]),
        (record("Zebra", tax_ids=[_OTHER_VAT], cross_references=["cus_1"]), record("Acme", "a@acme-x.com", id="001B")),
        LINK,
        Rung.CROSS_REFERENCE,
    )
    yield Meeting(
        "billing holds the record's id", subject(references=["001A"]), (record("Q"),), LINK, Rung.CROSS_REFERENCE
    )
    both = (record(cross_references=["cus_1"]), record(id="001B", cross_references=["cus_1"]))
    yield Meeting("two hold our id", own, both, ASK)
    yield Meeting("deleted", own, (record("Acme", "a@acme-x.com", deleted=True),), NONE)
    yield Meeting("deleted, with our id", own, (record(cross_references=["cus_1"], deleted=True),), NONE)
    again = (record(cross_references=["cus_1"], deleted=True), record("Acme", id="001B", **twin))
    yield Meeting("id used again after a deletion", own, again, "001B", Rung.DOMAIN_AND_NAME)
    merged = (record("Acme", "a@acme-x.com", merged_into="001B"), record("Acme", id="001B"))
    yield Meeting("merged", own, merged, "001B", Rung.EMAIL)
    chain = (
        record("A", "a@acme-x.com", merged_into="001B"),
        record("B", id="001B", merged_into="001C"),
        record("Acme", id="001C"),
    )
    yield Meeting("merged twice", own, chain, "001C", Rung.EMAIL)
    reference = (record(cross_references=["cus_1"], merged_into="001B"), record("Zebra", id="001B"))
    yield Meeting("merged, with our id", own, reference, "001B", Rung.CROSS_REFERENCE)
    into_deleted = (record("Acme", "a@acme-x.com", merged_into="001B"), record(id="001B", deleted=True))
    yield Meeting("merged into one that was deleted", own, into_deleted, NONE)
    yield Meeting("merged into one nobody knows", own, (record("Acme", "a@acme-x.com", merged_into="001Z"),), NONE)
    circle = (record("Acme", "a@acme-x.com", merged_into="001B"), record(id="001B", merged_into="001A"))
    yield Meeting("merges in a circle", own, circle, ASK)
    yield Meeting("merged into itself", own, (record("Acme", "a@acme-x.com", merged_into="001A"),), ASK)


def _relatives() -> Iterator[Meeting]:
    own = subject("Acme", "a@acme-x.com")
    twin: dict[str, Any] = {"domains": ["acme-x.com"]}
    split = (record("Acme", id="001A", **twin), record("Acme", id="001B", **twin))
    yield Meeting("split in two", own, split, ASK)
    parent = (record("Acme", **twin), record("Acme", id="001B", parent_id="001A", **twin))
    yield Meeting("parent and child", own, parent, ASK)
    loop = (record("Acme", parent_id="001B", **twin), record("Acme", id="001B", parent_id="001A", **twin))
    yield Meeting("parents in a loop", own, loop, ASK)
    yield Meeting("its own parent", own, (record("Acme", parent_id="001A", **twin),), LINK, Rung.DOMAIN_AND_NAME)
    one_fits = (record("Acme", **twin), record("Other things", id="001B", **twin))
    yield Meeting("one of a domain has the name", own, one_fits, LINK, Rung.DOMAIN_AND_NAME)
    yield Meeting(
        "same name twins, one domain",
        own,
        (record("Acme"), record("Acme", id="001B", **twin)),
        "001B",
        Rung.DOMAIN_AND_NAME,
    )
    people = (record("Acme", "a@acme-x.com"), record("Acme", "a@acme-x.com", id="001B"))
    yield Meeting("two with one e-mail", own, people, ASK)
    yield Meeting("nothing is known", subject(None), (record(None),), NONE)
    yield Meeting("no records", own, (), NONE)
    b2c = CustomerModel.B2C
    bob = subject("Bob", "bob@acme-x.com")
    yield Meeting("a person at a company", bob, (record("Bob", "rob@acme-x.com"),), NONE, None, b2c)
    yield Meeting("a person by e-mail", bob, (record("Robert", "BOB@acme-x.com"),), LINK, Rung.EMAIL, b2c)
    yield Meeting(
        "a person at gmail", subject("Bob", "b.ob@gmail.com"), (record("R", "bob@gmail.com"),), LINK, Rung.EMAIL, b2c
    )


MEETINGS = (*_mailboxes(), *_nobodys_domains(), *_names(), *_tax_ids(), *_records(), *_relatives())


def test_the_corpus_is_whole() -> None:
    assert len(MEETINGS) >= 220
    assert len({meeting.name for meeting in MEETINGS}) == len(MEETINGS)


@pytest.mark.parametrize("meeting", MEETINGS, ids=lambda meeting: meeting.name)
def test_the_verdict(meeting: Meeting) -> None:
    part = IdentityPart(model=meeting.model, shared_domains=("bookkeepers-for-all.com",))
    ladder = Ladder.of(part)
    records = {one.id: one for one in meeting.records}
    verdict = ladder.climb(meeting.subject, records)
    match verdict:
        case Matched(candidate=candidate, rung=rung, evidence=evidence):
            expected = "001A" if meeting.verdict == LINK else meeting.verdict
            assert (candidate.id, rung) == (expected, meeting.rung)
            assert any(one.rung is rung and not one.against for one in evidence)
        case NeedsReview(why=why):
            assert meeting.verdict == ASK, why
            assert why.endswith(".")
        case Unmatched():
            assert meeting.verdict == NONE
    shuffled = list(records.items())
    random.Random(5).shuffle(shuffled)
    assert ladder.climb(meeting.subject, dict(shuffled)) == verdict
