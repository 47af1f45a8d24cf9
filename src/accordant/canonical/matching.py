"""Whose record is it? The values of matching: what is known of a target's record, what speaks for it, the verdict.

The ladder in `identity/ladder.py` makes verdicts, the pipeline keeps them, and a person answers review cases.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from accordant.kernel.ids import derived_id

#: How the id of a record begins that the hub has decided to create and that its target has not confirmed yet.
PENDING_PREFIX = "new:"


class Rung(StrEnum):
    """The rungs of the ladder, strongest first. Source: finance.md 5.3.

    The first four may link; ``name_and_place`` only asks a person; ``name`` is a hint and never more.
    """

    CROSS_REFERENCE = "cross_reference"
    TAX_ID = "tax_id"
    EMAIL = "email"
    DOMAIN_AND_NAME = "domain_and_name"
    NAME_AND_PLACE = "name_and_place"
    NAME = "name"


class KeyKind(StrEnum):
    """The kinds of normalised key under which a record can be found."""

    CROSS_REFERENCE = "cross_reference"
    TAX_ID = "tax_id"
    EMAIL = "email"
    DOMAIN = "domain"
    PHONE = "phone"
    PLACE = "place"
    NAME = "name"


class MatchKey(msgspec.Struct, frozen=True, order=True):
    """One normalised key. Equal keys are a reason to compare two records, never yet a match."""

    kind: KeyKind
    value: str


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A record of a target, as far as it tells whose it is; every value as the target spells it.

    ``cross_references`` are the billing customers whose id the record holds, ``numbers`` those under which people there
    know the record, as billing may hold them. ``merged_ids`` are records that went into
    this one, ``merged_into`` is the one this went into. An ``id`` that begins with ``PENDING_PREFIX`` is one the target
    has not confirmed yet.
    """

    system: str
    object: str
    id: str
    name: str | None = None
    emails: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    tax_ids: tuple[str, ...] = ()
    cross_references: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    postcode: str | None = None
    country: str | None = None
    parent_id: str | None = None
    merged_ids: tuple[str, ...] = ()
    merged_into: str | None = None
    deleted: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether the record is still to be created, by a write of ours."""
        return self.id.startswith(PENDING_PREFIX)


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A record in a hierarchy of its system: ``parent_id`` is the record directly above it, None at the top."""

    id: str
    parent_id: str | None = None
    deleted: bool = False


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The billing customer whose record is looked for, as its owner spells it.

    ``references`` are record ids of the target that the owner keeps beside the customer (in its metadata).
    """

    account_id: str
    external_id: str
    name: str | None = None
    emails: tuple[str, ...] = ()
    tax_ids: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    postcode: str | None = None
    country: str | None = None
    references: tuple[str, ...] = ()


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that speaks for a candidate, or ``against`` it.

    ``what`` is a word for a person (tax id, e-mail, domain, name, phone, place); ``ours`` and ``theirs`` the two values
    as they were compared; ``strength`` 0 to 100: for names how alike they are, otherwise 100.
    """

    rung: Rung
    what: str
    ours: str
    theirs: str
    strength: int
    against: bool = False


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate with all that was found about it. ``rung`` is the strongest that speaks for it."""

    candidate: Candidate
    rung: Rung
    evidence: tuple[Evidence, ...]


class UnmatchedPolicy(StrEnum):
    """What becomes of a customer that no record matches: a new record; a person is asked; nothing is written; or a new
    record that a person is told to look at.
    """

    CREATE = "create"
    REVIEW = "review"
    LEAVE = "leave"
    HYBRID = "hybrid"


class Matched(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Exactly one record is this customer's. ``flags`` are sentences about what does not quite fit."""

    candidate: Candidate
    rung: Rung
    evidence: tuple[Evidence, ...]
    flags: tuple[str, ...] = ()


class NeedsReview(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Only a person can say. ``why`` is a sentence; ``candidates`` may be empty where the policy asks for a person."""

    candidates: tuple[Considered, ...]
    why: str


class Unmatched(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """No record is this customer's. ``hints`` have a like name and nothing else, which is no evidence."""

    policy: UnmatchedPolicy
    hints: tuple[Considered, ...] = ()


MatchVerdict = Matched | NeedsReview | Unmatched


class RecordLink(msgspec.Struct, frozen=True, kw_only=True):
    """Which record of a target an account's facts go to, and why: one for each account, target and object.

    ``key`` is the key of that record's desired state; accounts with the same key are rolled up into it. ``target_id``
    is None as long as the record is still to be created. ``parent`` is the key of the record it stands below, where the
    charter keeps several customers of one company apart. ``rung`` is None where nothing matched and a record was
    created, or a person decided. ``charter`` is the version under which ``actor`` decided.
    """

    account_id: str
    system: str
    object: str
    key: str
    target_id: str | None
    rung: Rung | None
    evidence: tuple[Evidence, ...]
    flags: tuple[str, ...] = ()
    charter: str
    actor: str
    linked_at: datetime
    parent: str | None = None


class ReviewState(StrEnum):
    """The life of a review case. ``lapsed``: the question answered itself before a person came to it."""

    OPEN = "open"
    ACCEPTED = "accepted"
    CREATED = "created"
    REJECTED = "rejected"
    LAPSED = "lapsed"


class ReviewCase(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a person: which of these records, if any, is this customer's? The account's writes to the target
    wait for the answer, except where ``waits`` is False: there the record was created and should be looked at.
    ``record_gone``: somebody deleted the record that the account had.
    """

    id: str
    account_id: str
    system: str
    object: str
    subject: Subject
    why: str
    candidates: tuple[Considered, ...]
    waits: bool
    charter: str
    opened_at: datetime
    record_gone: bool = False


def review_case_id(account_id: str, system: str, object_name: str) -> str:
    """The id of the question whose record an account is: asked again, it is the same question."""
    return derived_id("rev", account_id, system, object_name)
