"""A billing customer as the ladder looks at it."""

from accordant.canonical.entities import Account
from accordant.canonical.matching import PENDING_PREFIX, Candidate, Subject


def subject_of(account_id: str, account: Account, *, reference_key: str | None) -> Subject:
    """The subject of an account. ``reference_key`` is the key of its metadata that holds the target's record id."""
    reference = account.metadata.get(reference_key, "").strip() if reference_key else ""
    return Subject(
        account_id=account_id,
        external_id=account.external_id,
        name=account.name,
        emails=(account.email,) if account.email else (),
        tax_ids=account.tax_ids,
        country=account.country,
        references=(reference,) if reference else (),
    )


def pending_record(subject: Subject, *, system: str, object_name: str, key: str) -> Candidate:
    """The record that is to be created for a customer, as far as it is known before it is there."""
    return Candidate(
        system=system,
        object=object_name,
        id=f"{PENDING_PREFIX}{key}",
        name=subject.name,
        emails=subject.emails,
        tax_ids=subject.tax_ids,
        cross_references=(key,),
        phones=subject.phones,
        postcode=subject.postcode,
        country=subject.country,
    )
