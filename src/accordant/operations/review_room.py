"""Where a person says whose record it is: named, looked up in the target as it is now, decided and carried out.

Next: `review.py` for what a decision changes, `duplicates.py` for records that are one and the same.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from accordant.canonical.charter import MappingPart
from accordant.canonical.matching import Candidate
from accordant.canonical.refs import EntityKind
from accordant.canonical.review import ReviewAction
from accordant.canonical.targets import object_spec
from accordant.kernel.clock import Clock
from accordant.kernel.errors import ConfigurationError
from accordant.operations.duplicates import DuplicateGroup, find_duplicates
from accordant.operations.review import Decided, Declined, ReviewOrder, review
from accordant.pipeline.match import Matcher
from accordant.pipeline.plan import Rulebook
from accordant.ports.connector import Outbound
from accordant.ports.review import Place, ReviewDesk


class ReviewRoom:
    """The review queue of one hub. ``replan`` decides again for one account."""

    def __init__(
        self,
        *,
        desk: ReviewDesk,
        outbounds: Mapping[str, Outbound],
        rulebook: Callable[[], Rulebook],
        replan: Callable[[str], object],
        clock: Clock,
    ) -> None:
        self._desk = desk
        self._outbounds = outbounds
        self._rulebook = rulebook
        self._replan = replan
        self._clock = clock

    def place(self, name: str, system: str | None = None) -> Place | Declined:
        """The one question that is meant by a case's id or a customer's. Declined where it is none, or several."""
        found = [one for one in self._desk.places(name) if system in (None, one.system)]
        if len(found) == 1:
            return found[0]
        if not found:
            return Declined(
                sentence=f"Nothing is known of {name[:60]!r} that could be decided about.",
                remedy="Name a case (rev_...) or a customer by its id; `accordant review list` shows what waits.",
            )
        where = ", ".join(f"{one.system} {one.object}" for one in found)
        return Declined(
            sentence=f"{name[:60]} has records in several places: {where}.", remedy="Name one with --system."
        )

    async def decide(
        self,
        action: ReviewAction,
        name: str,
        *,
        actor: str,
        reason: str,
        target_id: str | None = None,
        system: str | None = None,
    ) -> Decided | Declined:
        """Decide about a case or a customer. Raises as ``Outbound.read`` when the chosen record cannot be looked up."""
        place = await asyncio.to_thread(self.place, name, system)
        if isinstance(place, Declined):
            return place
        chosen: Candidate | str | None = target_id
        if target_id is not None and action in {ReviewAction.ACCEPT, ReviewAction.MERGE}:
            chosen = await self._look_up(place, target_id)
        order = ReviewOrder(
            action=action,
            place=place,
            target_id=target_id,
            actor=actor,
            reason=reason,
            key_field=self._key_field(place),
        )
        return await asyncio.to_thread(self._carry_out, order, chosen)

    def duplicates(self, system: str) -> tuple[DuplicateGroup, ...]:
        """Records of a target that the ladder takes for one, as the last scan saw them.

        Raises ConfigurationError where the charter looks for nobody there.
        """
        matcher = self._matcher(system)
        together = self._desk.records_together(system, matcher.object)
        ids = {one.id for group in together for one in group}
        customers = Counter(link.target_id or "" for link in self._desk.linked_to(system, matcher.object, ids))
        return find_duplicates(together, ladder=matcher.ladder, customers=customers)

    def _matcher(self, system: str) -> Matcher:
        matcher = self._rulebook().matchers.get(system)
        if matcher is None:
            raise ConfigurationError(
                f"The charter does not say how records of {system} are told apart.",
                remedy="Give it an identity part, then scan the target.",
            )
        return matcher

    async def merge(
        self, system: str, survivor: str, others: Sequence[str], *, actor: str, reason: str
    ) -> tuple[Decided | Declined, ...]:
        """Let the customers of some records go to the record that is to survive; one answer each.

        Raises as ``decide`` and as ``duplicates``.

        The records themselves are merged in the target by a person: its interface has no such call.
        """
        object_name = self._matcher(system).object
        links = await asyncio.to_thread(self._desk.linked_to, system, object_name, others)
        answers = []
        for link in links:
            order = ReviewOrder(
                action=ReviewAction.MERGE,
                place=Place(link.account_id, system, object_name),
                target_id=survivor,
                actor=actor,
                reason=reason,
            )
            chosen = await self._look_up(order.place, survivor)
            answers.append(await asyncio.to_thread(self._carry_out, order, chosen))
        return tuple(answers)

    def _carry_out(self, order: ReviewOrder, chosen: Candidate | str | None) -> Decided | Declined:
        file = self._desk.file(order.place, chosen)
        if file is None:
            return Declined(
                sentence="Nobody has described this customer yet.", remedy="Its owner's next event will; decide then."
            )
        return review(
            order,
            file=file,
            desk=self._desk,
            replan=self._replan,
            charter=self._rulebook().version,
            keeps_apart=self._keeps_apart(order.place.system),
            now=self._clock(),
        )

    def _keeps_apart(self, system: str) -> bool:
        matcher = self._rulebook().matchers.get(system)
        return matcher is not None and matcher.ladder.keeps_apart

    def _key_field(self, place: Place) -> str:
        mapping = self._mapping(place)
        return "the key field" if mapping is None else mapping.key_field

    def _mapping(self, place: Place) -> MappingPart | None:
        """The mapping of accounts to the place's object, where the charter has one."""
        wanted = (place.system, place.object, EntityKind.ACCOUNT)
        routes = self._rulebook().all_routes
        found = (one.mapping for one in routes if (one.flow.target, one.flow.object, one.flow.entity) == wanted)
        return next(found, None)

    async def _look_up(self, place: Place, target_id: str) -> Candidate | None:
        """The record as the target has it now: what a scan once saw may be merged or another's since."""
        outbound = self._outbounds.get(place.system)
        mapping = self._mapping(place)
        if outbound is None or mapping is None:
            return None
        seen = (await outbound.whereabouts(object_spec(mapping), [target_id])).get(target_id)
        if seen is None:
            return None
        known = await asyncio.to_thread(partial(self._desk.file, place, target_id))
        told = known.chosen if known is not None else None
        record = told or Candidate(system=place.system, object=place.object, id=target_id)
        keys = () if seen.key is None else (seen.key,)
        return msgspec.structs.replace(
            record, cross_references=keys, deleted=seen.deleted, merged_into=seen.merged_into
        )
