"""What people do to the stand-in's records by hand: merge duplicates, bring one back, move a key to another record.
Guarantees what Salesforce's merge leaves behind: losers in the recycle bin that name their survivor, children moved.
Source: merge() of Salesforce's SOAP reference; REST has no such call. Next: simulator.py, whose control offers these.
"""

from __future__ import annotations

from collections.abc import Sequence

from accordant.connectors.salesforce.simulator_fields import Json, Refusal
from accordant.connectors.salesforce.simulator_records import Org, Record

#: Records one merge takes, the survivor included.
MERGED_MAX = 3


def merge(org: Org, survivor: Record, losers: Sequence[Record], user: str) -> None:
    """Merge records into one. It keeps its own values, external ids among them; the others' children become its own.

    Raises ``Refusal`` for too many records, another object, one that cannot be merged, or the survivor itself.
    """
    if not 1 <= len(losers) < MERGED_MAX:
        raise Refusal("INVALID_NUMBER_OF_MERGE_RECORDS", f"a merge takes one or two records, not {len(losers)}")
    if survivor.object.field("MasterRecordId") is None or any(one.object is not survivor.object for one in losers):
        raise Refusal("INVALID_TYPE", f"entity type cannot be merged: {survivor.object.name}")
    if any(one.deleted for one in (survivor, *losers)):
        raise Refusal("ENTITY_IS_DELETED", "entity is deleted", ())
    if any(one is survivor for one in losers):
        raise Refusal("INVALID_CROSS_REFERENCE_KEY", "the survivor cannot be merged into itself", ())
    for loser in losers:
        _reparent(org, loser, survivor, user)
        org.delete(loser, user)
        loser.values["MasterRecordId"] = survivor.id


def _reparent(org: Org, loser: Record, survivor: Record, user: str) -> None:
    for target in org.objects.values():
        for one in [one for one in target.fields.values() if one.writable and loser.object.name in one.leads_to]:
            for child in [row for row in org.live(target) if row.values.get(one.name) == loser.id]:
                if child is not survivor:
                    org.update(child, {one.name: survivor.id}, user)


def undelete(org: Org, record: Record, user: str) -> None:
    """Bring a record back from the recycle bin. What was moved away from it stays where it is.

    Raises ``Refusal`` when its unique values have been taken meanwhile.
    """
    org.revive(record, user)
    record.values.pop("MasterRecordId", None)


def split(org: Org, record: Record, field_name: str, values: dict[str, Json], user: str) -> Record:
    """Make a record of its own and give it the value that ``record`` has in ``field_name``, which that one loses.

    Raises ``Refusal``.
    """
    target = record.object
    one = org.external_field(target, field_name)
    key = record.values.get(one.name)
    org.update(record, {one.name: None}, user)
    return org.create(target, org.clean(target, {**values, one.name: key}), user)
