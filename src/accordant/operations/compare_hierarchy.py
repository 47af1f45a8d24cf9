"""Who stands below whom: each system's hierarchy of customers by itself, and the CRM's against every other.

Nothing is written. What is found is looked at twice: what moved between two readings is in flight.
Next: `identity/hierarchy.py`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice

import msgspec

from accordant.canonical.charter import Charter, FlowPart, Phase
from accordant.canonical.matching import Member
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.governance.findings import Category
from accordant.identity.hierarchy import Flaw, FlawFound, Hierarchy, Placement, compare
from accordant.kernel.clock import Clock
from accordant.kernel.ids import derived_id
from accordant.operations.reconcile import Progress, Reconciliation, Tally, off_loop
from accordant.ports.connector import HierarchyLister
from accordant.ports.reconcile import Cause, Discrepancy, DiscrepancyKind, ReconcileBook, ReconcileRun
from accordant.ports.state import State

#: How its runs are named, in place of a flow.
RUN_NAME = "hierarchy"
BATCH = 500
#: Records of a circle, or of a way up, that are named.
_NAMED_MAX = 6


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One system that keeps a hierarchy of customers. ``owner`` answers for it; ``writes`` is the field in which the
    flow itself says who stands below whom, None where only people there do.
    """

    system: str
    object: str
    category: Category
    owner: str
    flow: str
    writes: str | None
    lister: HierarchyLister

    def ref(self, record_id: str) -> str:
        """A record as findings name it."""
        return str(self.external(record_id))

    def external(self, record_id: str) -> ExternalRef:
        """A record as the crosswalk names it."""
        return ExternalRef(self.system, self.object, record_id)


def sides_of(charter: Charter, outbounds: Mapping[str, object], categories: Mapping[str, Category]) -> tuple[Side, ...]:
    """The systems with customers and a hierarchy of them, the CRM first: sales says which companies belong together.

    ``outbounds`` are by system, ``categories`` by connector.
    """
    found: dict[tuple[str, str], Side] = {}
    for flow in charter.flows:
        lister = outbounds.get(flow.target)
        if (
            flow.entity is not EntityKind.ACCOUNT
            or flow.phase is Phase.DRAFT
            or not isinstance(lister, HierarchyLister)
        ):
            continue
        system = charter.systems[flow.target]
        if flow.object in lister.levels_max:
            found[flow.target, flow.object] = Side(
                system=flow.target,
                object=flow.object,
                category=categories[system.connector],
                owner=system.owner,
                flow=flow.name,
                writes=_parent_field(charter, flow),
                lister=lister,
            )
    return tuple(sorted(found.values(), key=lambda one: (one.category is not Category.CRM, one.system)))


def _parent_field(charter: Charter, flow: FlowPart) -> str | None:
    mapping = charter.mapping_of(flow)
    if mapping is None:
        return None
    named = (name for name, field in mapping.fields.items() if field.source == "parent")
    return next((name for name in named if name in flow.write_fields), None)


async def compare_hierarchies(
    *,
    sides: Sequence[Side],
    book: ReconcileBook,
    state: State,
    actor: str,
    clock: Clock,
    progress: Progress | None = None,
) -> Reconciliation:
    """Look at every side and keep what is found. With one side, or without a CRM, only what is not sound in itself.

    Raises RateLimited, TargetUnavailable, AuthorizationExpired: the run then stays unfinished and proves nothing.
    """
    started_at = clock()
    run = ReconcileRun(id=derived_id("run", RUN_NAME, started_at.isoformat()), flow=RUN_NAME, started_at=started_at)
    await off_loop(partial(book.begin, run))
    tally = Tally(run, book=book, state=state, clock=clock)
    trees = [await _read(side, book) for side in sides]
    tally.records = tally.fields = sum(tree.size for tree in trees)
    if progress is not None:
        progress(tally.records, tally.records)
    found = _findings(sides, trees)
    if found:
        again = set(_findings(sides, [await _read(side, book) for side in sides]))
        tally.in_flight = sum(one not in again for one in found)
        found = [one for one in found if one in again]
    await tally.add(found)
    return await tally.finish(actor)


async def _read(side: Side, book: ReconcileBook) -> Hierarchy:
    members: list[Member] = []
    async for page in side.lister.members(side.object):
        members += page
    accounts: dict[str, str] = {}
    ids = iter([one.id for one in members])
    while batch := list(islice(ids, BATCH)):
        held = await off_loop(partial(book.entities_of, [side.external(one) for one in batch]))
        accounts |= {ref.id: one.root_id for ref, one in held.items() if one.ref.kind is EntityKind.ACCOUNT}
    return Hierarchy(members, accounts)


def _findings(sides: Sequence[Side], trees: Sequence[Hierarchy]) -> list[Discrepancy]:
    limits = [(levels, side.system) for side in sides if (levels := side.lister.levels_max[side.object]) is not None]
    levels_max, narrow = min(limits, default=(None, ""))
    takes = f"{narrow} takes {levels_max} levels in all"
    found = [
        _flaw(flaw, side, tree, takes)
        for side, tree in zip(sides, trees, strict=True)
        for flaw in tree.flaws(levels_max=levels_max)
    ]
    if not sides or sides[0].category is not Category.CRM:
        return found
    for side, tree in zip(sides[1:], trees[1:], strict=True):
        found += [_placed(one, (sides[0], trees[0]), (side, tree)) for one in compare(trees[0], tree)]
    return found


def _flaw(found: FlawFound, side: Side, tree: Hierarchy, takes: str) -> Discrepancy:
    others = [side.ref(one) for one in found.others[:_NAMED_MAX]]
    more = "" if len(found.others) <= _NAMED_MAX else f" and {len(found.others) - _NAMED_MAX} more"
    named = f"{', '.join(others)}{more}"
    match found.flaw:
        case Flaw.CIRCLE:
            said = f"The way up comes back to where it began: {named}. Take one of them from below the next."
        case Flaw.PARENT_MISSING:
            said = f"It stands below {named}, which is not there. Place it below another, or below none."
        case Flaw.PARENT_DELETED:
            said = f"It stands below {named}, which was deleted. Bring that back, or place it below another."
        case Flaw.TWO_PLACES:
            said = f"Its customer also has {named}, below another top. Merge the two, or place them in one hierarchy."
        case _:
            said = f"{len(found.others)} records stand above it, {named}; {takes}. Place it higher up."
    return Discrepancy(
        kind=DiscrepancyKind.HIERARCHY,
        cause=Cause(found.flaw.value),
        record=side.ref(found.member),
        explanation=f"{said} {_kept_by(side)}",
        target_id=found.member,
        account_id=tree.account_of(found.member),
    )


def _placed(one: Placement, leading: tuple[Side, Hierarchy], other: tuple[Side, Hierarchy]) -> Discrepancy:
    (crm, above_crm), (side, above_side) = leading, other

    def named(place: tuple[Side, Hierarchy], account: str | None) -> str | None:
        return None if account is None else place[0].ref(place[1].record_of(account))

    said, says = named((crm, above_crm), one.above_leading), named((side, above_side), one.above_other)
    wanted = named((side, above_side), one.above_leading)
    where = "at the top" if wanted is None else f"below {wanted}"
    return Discrepancy(
        kind=DiscrepancyKind.HIERARCHY,
        cause=Cause.PLACED_OTHERWISE,
        record=side.ref(one.other),
        explanation=(
            f"{crm.ref(one.leading)} stands {_below(said)}, and {side.ref(one.other)} {_below(says)}. "
            f"{_kept_by(crm)} If that is right, place it {where} in {side.system}, which {side.owner} owns: "
            f"the hub never moves a customer there. Else correct {crm.system}."
        ),
        field="parent",
        expected=wanted,
        actual=says,
        target_id=one.other,
        account_id=one.account_id,
    )


def _below(ref: str | None) -> str:
    return "below no other customer" if ref is None else f"below {ref}"


def _kept_by(side: Side) -> str:
    """Who says what stands below what in a system."""
    if side.writes is not None:
        return f"The flow {side.flow} writes {side.writes} in {side.system}, from the families of the hub."
    return f"{side.owner} owns the hierarchy of {side.system}; the hub writes none there."
