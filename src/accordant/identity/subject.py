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
        phones=(account.phone,) if account.phone else (),
        postcode=account.postcode,
        country=account.country,
        references=(reference,) if reference else (),
    )


def own_way(subject: Subject) -> str:
    """The id under which the directory has what billing knows of a customer."""
    return f"{PENDING_PREFIX}{subject.external_id}"


def own_record(
    subject: Subject, *, system: str, object_name: str, key: str, record_id: str | None, parent: str | None = None
) -> Candidate:
    """What billing knows of a customer, as a record of the target: the target need not hold its e-mail or tax id.

    It stands for the record with ``key`` until that is there, and leads to it from then on. ``parent`` is the key of
    the record above it.
    """
    own = own_way(subject)
    led_to = record_id if record_id is not None else f"{PENDING_PREFIX}{key}"
    return Candidate(
        system=system,
        object=object_name,
        id=own,
        name=subject.name,
        emails=subject.emails,
        tax_ids=subject.tax_ids,
        cross_references=(key,),
        phones=subject.phones,
        postcode=subject.postcode,
        country=subject.country,
        parent_id=None if parent is None else f"{PENDING_PREFIX}{parent}",
        merged_into=None if led_to == own else led_to,
    )
