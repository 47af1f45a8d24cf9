"""Rooms 5 and 6, court and desk: what should each target hold of the accounts a batch touched, and may we write it?

The desired record is a pure function of entity, mapping and ownership; only a difference from the record last desired
makes an intent, so a replay makes none. Next: the commit in `pipeline/process.py`, then `pipeline/deliver.py`.
"""

from collections.abc import Iterable, Iterator, Mapping
from zoneinfo import ZoneInfo

import msgspec

from accordant.analytics.bill_facts import bill_facts, is_told
from accordant.analytics.catalog import product_facts
from accordant.analytics.combine import combine
from accordant.analytics.documents import document_facts
from accordant.analytics.facts import Facts, account_facts, subscription_facts
from accordant.analytics.movements import together
from accordant.canonical.charter import Automation, Charter, FlowPart, MappingPart
from accordant.canonical.conflicts import Stand
from accordant.canonical.documents import STEP_OF_DOCUMENT
from accordant.canonical.entities import Account, Entity, Invoice, Payment, Product, Refund, Subscription
from accordant.canonical.facts import MOVEMENT_FACTS
from accordant.canonical.intents import OPENING_KINDS, STEP_OF_KIND, WireValue, plan_intent
from accordant.canonical.refs import EntityKind, EntityRef
from accordant.canonical.shapes import SeenShape
from accordant.governance.decide import (
    REPLAY_RULE,
    Case,
    CompiledFlow,
    Decision,
    Effect,
    Switches,
    compile_flow,
    encode_decision,
    is_of_a_switch,
)
from accordant.governance.gates import compile_gates, judge_gates
from accordant.governance.grants import is_exempt, meaning_of
from accordant.governance.hearing import Hearing
from accordant.governance.openings import OpeningVerdict
from accordant.governance.ownership import OwnershipMatrix, facts_of
from accordant.governance.phases import Tier, cap_of
from accordant.kernel.hashing import fingerprint
from accordant.kernel.ids import EntityId
from accordant.mapping.difference import difference
from accordant.mapping.fitting import fit
from accordant.mapping.translate import CompiledMapping, Translation, compile_mapping, translate
from accordant.pipeline.addressing import Addressing, as_posted, recall_readdressed
from accordant.pipeline.below import names_needed, product_names, subscriptions_of
from accordant.pipeline.bookkeep import Ledger
from accordant.pipeline.contest import Umpire, umpire_of
from accordant.pipeline.match import Matcher, Seated, Seats, Waiting, matchers_of, seat_accounts
from accordant.pipeline.openings import CompiledCondition, Deal, Sales, compile_conditions
from accordant.pipeline.stands import Stood, with_stands
from accordant.pipeline.workbench import Workbench
from accordant.ports.state import DesiredRecord, PlannedIntent, StoredEntity

#: Kinds below an account that are told one by one, each where it changed.
_BILLS = (EntityKind.INVOICE, EntityKind.PAYMENT, EntityKind.REFUND)


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A flow made ready: its mapping and its rules compiled once per charter.

    ``withheld`` are the fields its target does not take today, each with the reason; ``mapping`` lacks them.
    ``tells_movements``: some field is made of how recurring revenue moved.
    """

    flow: FlowPart
    mapping: MappingPart
    compiled: CompiledMapping
    rules: CompiledFlow
    withheld: dict[str, str]
    umpire: Umpire
    tells_movements: bool
    conditions: tuple[CompiledCondition, ...] = ()


class Rulebook(msgspec.Struct, frozen=True, kw_only=True):
    """A charter made ready for the desk.

    ``routes`` is keyed by (source system, kind of entity), ``matchers`` by target; ``ledger`` is None without books.
    """

    charter: Charter
    version: str
    routes: dict[tuple[str, EntityKind], tuple[Route, ...]]
    zone: ZoneInfo
    matchers: dict[str, Matcher] = {}
    ledger: Ledger | None = None

    @property
    def withheld(self) -> dict[str, frozenset[str]]:
        """The fields held of each flow that has any, because its target does not take them today."""
        return {route.flow.name: frozenset(route.withheld) for route in self.all_routes if route.withheld}

    @property
    def tells_products(self) -> bool:
        """Whether some flow carries what is sold."""
        return any(kind is EntityKind.PRODUCT for _, kind in self.routes)

    @property
    def all_routes(self) -> tuple[Route, ...]:
        """Every route, in no order."""
        return tuple(route for routes in self.routes.values() for route in routes)

    def route(self, flow: str) -> Route | None:
        """The route of a flow by name."""
        return next((route for routes in self.routes.values() for route in routes if route.flow.name == flow), None)


def write_rulebook(
    charter: Charter,
    tiers: Mapping[str, Tier],
    shapes: Iterable[SeenShape] = (),
) -> Rulebook:
    """Compile a charter that has passed its check. ``tiers`` holds what the connector of each system earned,
    ``shapes`` what targets said of their objects: what does not fit them is left out until it does.
    """
    seen = {(shape.system, shape.object): shape for shape in shapes}
    owners = OwnershipMatrix.from_charter(charter)
    routes: dict[tuple[str, EntityKind], tuple[Route, ...]] = {}
    zone = ZoneInfo(charter.timezone)
    for flow in charter.flows:
        mapping = charter.mapping_of(flow)
        if mapping is None:
            continue
        fitted = fit(mapping, seen.get((flow.target, flow.object)))
        mapping = fitted.mapping
        rules = compile_flow(
            flow,
            mapping=mapping,
            owners=owners,
            tier_cap=cap_of(tiers[flow.source], tiers[flow.target]),
            meaning=meaning_of(charter, flow),
            exempt=is_exempt(charter, flow),
            gates=compile_gates(charter.gates, flow, mapping),
            stands_on_flags=flow.automation in charter.red_flags.pauses,
        )
        rules = msgspec.structs.replace(rules, stopped=fitted.stopped)
        route = Route(
            flow=flow,
            mapping=mapping,
            compiled=compile_mapping(mapping, zone),
            rules=rules,
            withheld=fitted.withheld,
            umpire=umpire_of(charter, flow, mapping, financial=rules.essential),
            conditions=compile_conditions(flow),
            tells_movements=any(not MOVEMENT_FACTS.isdisjoint(facts_of(part)) for part in mapping.fields.values()),
        )
        place = (flow.source, flow.entity)
        routes[place] = (*routes.get(place, ()), route)
    return Rulebook(
        charter=charter,
        version=charter.version,
        routes=routes,
        zone=zone,
        matchers=matchers_of(charter, ((one.flow, one.mapping) for made in routes.values() for one in made)),
        ledger=_ledger(charter, zone, routes),
    )


def _ledger(
    charter: Charter, zone: ZoneInfo, routes: Mapping[tuple[str, EntityKind], tuple[Route, ...]]
) -> Ledger | None:
    if charter.ledger is None:
        return None
    is_told = any(kind is EntityKind.LEDGER_DOCUMENT for _, kind in routes)
    return Ledger(
        part=charter.ledger, zone=zone, charter=charter.version, is_told=is_told, commissions=charter.commissions
    )


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """One record some target should hold, before anybody asked whether it may."""

    route: Route
    entity: EntityRef
    account_id: str
    translation: Translation
    facts: Facts
    ref: str
    cause: int | None
    step: int
    members: tuple[str, ...] = ()
    deal: Deal | None = None
    opening: OpeningVerdict | None = None


def plan(
    bench: Workbench,
    rulebook: Rulebook,
    switches: Switches,
    *,
    repair: frozenset[str] = frozenset(),
    asleep: frozenset[Automation] = frozenset(),
) -> None:
    """Lay desired records and intents on the bench for every account the batch touched.

    Records named in ``repair`` get an intent even if they should hold what they should have held before. Flows that set
    off an automation that is ``asleep`` lay down nothing: a replay has not named it.
    """
    accounts = [
        (stored, cause)
        for account_id, cause in bench.touched.items()
        if (stored := bench.entity(account_id)) is not None and isinstance(stored.entity, Account)
    ]
    bench.load_late(stored.ref.id for stored, _ in accounts)
    seats = seat_accounts([stored for stored, _ in accounts], bench, rulebook.matchers)
    if any(kind in _BILLS for _, kind in rulebook.routes):
        # What came while they waited for a record was told nowhere.
        bench.load_whole({link.account_id for link in bench.matching.changes.links})
    bench.load_named(names_needed(accounts, seats, bench))
    if any(route.tells_movements for route in rulebook.all_routes):
        sharing = {name for seat in seats.values() if isinstance(seat, Seated) for name in seat.members}
        bench.load_moved({stored.ref.id for stored, _ in accounts} | sharing)
    wanted = [record for stored, cause in accounts for record in _wanted(stored, cause, seats, bench, rulebook)]
    wanted += _products(bench, rulebook)
    recall_readdressed(bench, rulebook.matchers, rulebook.ledger)
    wanted += _documents(bench, rulebook)
    wanted += _deals(bench, rulebook)
    refs = [record.ref for record in wanted]
    bench.load_desired(refs)
    bench.load_stands(refs)
    bench.load_clearances({record.account_id for record in wanted if record.route.rules.gates})
    hearing = Hearing(switches)
    for record in wanted:
        if record.route.rules.automation in asleep:
            _let_sleep(record, bench, hearing)
            continue
        _decide_and_lay(record, bench, rulebook, hearing, repair=record.ref in repair or record.ref in bench.doubted)


def _wanted(
    stored: StoredEntity, cause: int | None, seats: Seats, bench: Workbench, rulebook: Rulebook
) -> Iterator[_Wanted]:
    """The records of one account: its own, or the one it shares, and those of what stands below it."""
    account, system = stored.entity, stored.source.system
    assert isinstance(account, Account)  # noqa: S101  the caller has looked; said for the type checker
    standing = bench.standing(stored.ref.id)
    subscriptions = subscriptions_of(stored.ref.id, bench)
    names = product_names(subscriptions, system, bench)
    if routes := rulebook.routes.get((system, EntityKind.ACCOUNT)):
        moved = bench.moved(stored.ref.id)
        facts = account_facts(account, standing, as_of=bench.now, product_names=names, zone=rulebook.zone, moved=moved)
        for route in routes:
            match seats.get((stored.ref.id, route.flow.target)):
                case Waiting():
                    continue
                case Seated() as taken if len(taken.members) > 1 or taken.key != account.external_id:
                    yield _shared_record(route, taken, bench, rulebook.zone, cause=cause)
                case Seated() as own:
                    yield _record(route, stored.ref, stored.ref.id, _below(facts, own), account, cause=cause)
                case _:
                    yield _record(route, stored.ref, stored.ref.id, facts, account, cause=cause)
    for below, facts in _told_below(stored, subscriptions, names, bench, rulebook):
        for route in rulebook.routes[system, below.ref.kind]:
            seat = seats.get((stored.ref.id, route.flow.target))
            if isinstance(seat, Waiting):
                continue
            account_id = stored.ref.id if seat is None else seat.members[0]
            told = facts if seat is None else _of_record(facts, "account", seat.key)
            yield _record(route, below.ref, account_id, told, below.entity, cause=cause)


def _told_below(
    stored: StoredEntity,
    subscriptions: Iterable[Subscription],
    names: Mapping[str, str],
    bench: Workbench,
    rulebook: Rulebook,
) -> Iterator[tuple[StoredEntity, Facts]]:
    """What stands below an account and is carried by some flow, with its facts."""
    account, system = stored.entity, stored.source.system
    assert isinstance(account, Account)  # noqa: S101  the caller has looked; said for the type checker
    if (system, EntityKind.SUBSCRIPTION) in rulebook.routes:
        standing = bench.standing(stored.ref.id)
        for one in subscriptions:
            entity = bench.named(system, EntityKind.SUBSCRIPTION, one.external_id)
            if entity is None:
                continue
            facts = subscription_facts(one, standing, as_of=bench.now, product_names=names, zone=rulebook.zone)
            yield msgspec.structs.replace(entity, entity=one), facts
    if any((system, kind) in rulebook.routes for kind in _BILLS):
        # Nothing of them depends on the day or on their account: one that did not change has nothing new to tell.
        for bill in bench.moved_below(stored.ref.id):
            if (system, bill.ref.kind) not in rulebook.routes or not is_told(bill.entity):
                continue
            if isinstance(bill.entity, Invoice | Payment | Refund):
                yield bill, bill_facts(bill.entity, account=account.external_id, zone=rulebook.zone)


def _products(bench: Workbench, rulebook: Rulebook) -> Iterator[_Wanted]:
    """The records of what is sold: a product stands below nobody and is decided by itself."""
    for product_id, cause in bench.catalog.items():
        stored = bench.entity(product_id)
        if stored is None or not isinstance(stored.entity, Product):
            continue
        facts = Facts(product_facts(stored.entity))
        for route in rulebook.routes.get((stored.source.system, EntityKind.PRODUCT), ()):
            yield _record(route, stored.ref, stored.root_id, facts, stored.entity, cause=cause)


def _documents(bench: Workbench, rulebook: Rulebook) -> Iterator[_Wanted]:
    """The records of what was posted: each document by the flow that carries its kind."""
    addressing = Addressing(bench, rulebook.matchers)
    found: list[tuple[_Wanted, bool]] = []
    for laid in bench.documents:
        kind = laid.document.document
        entity = EntityRef(EntityKind.LEDGER_DOCUMENT, EntityId(laid.document.external_id))
        for route in rulebook.routes.get((laid.system, EntityKind.LEDGER_DOCUMENT), ()):
            if route.flow.documents and kind not in route.flow.documents:
                continue
            document, members = addressing.address(laid, route.flow.target)
            record = _record(route, entity, members[0], Facts(document_facts(document)), None, cause=laid.cause)
            found.append((msgspec.structs.replace(record, step=STEP_OF_DOCUMENT[kind], members=members), laid.again))
    bench.load_confirmed(record.ref for record, _ in found)
    bench.load_desired([record.ref for record, _ in found])
    for record, again in found:
        old, is_there = bench.desired(record.ref), bench.confirmed(record.ref) is not None
        fields = (
            as_posted(record.translation.fields, record.route.mapping, old) if is_there else record.translation.fields
        )
        # What was decided before stays in its lane: there the newer revision stands for the older one.
        account_id = record.account_id if old is None else old.lane.partition(":")[2]
        translation = msgspec.structs.replace(record.translation, fields=fields)
        if not (is_there and again):
            yield msgspec.structs.replace(record, account_id=account_id, translation=translation)


def _deals(bench: Workbench, rulebook: Rulebook) -> Iterator[_Wanted]:
    """The records that companies and opportunities open, or have opened: of those only what is not given once."""
    sales = Sales(bench, rulebook.charter)
    routes = [route for route in rulebook.all_routes if route.flow.entity in OPENING_KINDS]
    found = [
        msgspec.structs.replace(
            _record(route, deal.stored.ref, root_id, deal.facts, deal.stored.entity, cause=cause or deal.stored.cause),
            deal=deal,
        )
        for root_id, cause in sales.load(bench.touched).items()
        for route in routes
        for deal in sales.deals(root_id, route.flow)
    ]
    bench.load_confirmed(record.ref for record in found)
    bench.load_releases(record.ref for record in found if record.route.flow.opens)
    for record in found:
        assert record.deal is not None  # noqa: S101  just put there; said for the type checker
        translation, conditions = record.translation, record.route.conditions
        verdict = sales.verdict(record.deal, conditions, record=record.ref, content=fingerprint(translation.fields))
        if verdict.is_there:
            parts = record.route.mapping.fields
            kept = {name: value for name, value in translation.fields.items() if not parts[name].once}
            translation = msgspec.structs.replace(translation, fields=kept)
        if translation.fields:
            members = record.deal.payers or (record.account_id,)
            yield msgspec.structs.replace(record, translation=translation, opening=verdict, members=members)


def _shared_record(route: Route, seat: Seated, bench: Workbench, zone: ZoneInfo, *, cause: int | None) -> _Wanted:
    """The record of several accounts: what the first of them is called, and what they all add up to."""
    known = [stored for name in seat.members if (stored := bench.entity(name)) is not None]
    first = known[0]
    account = first.entity
    assert isinstance(account, Account)  # noqa: S101  links are of accounts; said for the type checker
    names: dict[str, str] = {}
    for stored in known:
        names |= product_names(subscriptions_of(stored.ref.id, bench), stored.source.system, bench)
    standing = combine(bench.standing(stored.ref.id) for stored in known)
    parts = [one for stored in known if (one := bench.moved(stored.ref.id)) is not None]
    moved = together(parts) if len(parts) == len(known) else None
    facts = account_facts(account, standing, as_of=bench.now, product_names=names, zone=zone, moved=moved)
    told = _below(_of_record(facts, "external_id", seat.key), seat)
    record = _record(route, first.ref, first.ref.id, told, account, cause=cause)
    return msgspec.structs.replace(record, members=seat.members)


def _of_record(facts: Facts, fact: str, key: str) -> Facts:
    """Facts of a record that carries the key of another customer than their own."""
    return msgspec.structs.replace(facts, values={**facts.values, fact: key})


def _below(facts: Facts, seat: Seated) -> Facts:
    """Facts of a record that stands below another one. One that stands below none says nothing of it: what people
    have put it under there is theirs.
    """
    return facts if seat.parent is None else _of_record(facts, "parent", seat.parent)


def _record(
    route: Route,
    entity: EntityRef,
    account_id: str,
    facts: Facts,
    state: Entity | None,
    *,
    cause: int | None,
) -> _Wanted:
    translation = translate(facts.values, route.compiled, state)
    ref = f"{route.flow.target}:{route.flow.object}/{translation.key}"
    return _Wanted(
        route=route,
        entity=entity,
        account_id=account_id,
        translation=translation,
        facts=facts,
        ref=ref,
        cause=cause,
        step=STEP_OF_KIND.get(entity.kind, 0),
    )


def _decide_and_lay(record: _Wanted, bench: Workbench, rulebook: Rulebook, hearing: Hearing, *, repair: bool) -> None:
    """Ask the court about one record; lay down what it allows, and note what it does not."""
    rules = record.route.rules
    stood = with_stands(record.translation.fields, bench.stands(record.ref), financial=rules.essential, now=bench.now)
    fields = stood.fields
    decision = _ask_court(record, stood, bench, hearing)
    # What is held is planned all the same: the intent waits in the outbox until the switch is released. Only a field
    # that waits for a person's word on a conflict or for a compliance gate is left out, since its neighbors are not to
    # wait with it; the word or the opening of the gate plans it anew.
    gated = {name: value for name, value in fields.items() if name in decision.gated}
    moving = (decision.write | decision.held) - stood.held.keys() - decision.gated
    writes = {name: value for name, value in fields.items() if name in moving}
    _lift(stood.lapsed, record, bench)
    notes = (
        *_notes(record),
        *stood.notes,
        # A switch is seen where it is thrown. Kept here, its sentence would stand long after its release.
        *(
            reason.text
            for reason in decision.reasons
            if reason.effect is not Effect.ALLOW and not is_of_a_switch(reason, rules)
        ),
    )
    shadow = not writes and not gated
    input_digest = fingerprint({"fields": fields, "writes": sorted(writes)})
    if record.translation.key is None:
        bench.note(
            "court.record.held",
            str(record.entity),
            record.cause,
            {"flow": record.route.flow.name, "reasons": list(notes)},
        )
        return
    old = bench.desired(record.ref)
    same_values = old is not None and old.input_digest == input_digest and not repair
    if old is not None and same_values and old.notes == notes:
        return
    revision = (old.revision if old is not None else 0) + (0 if same_values else 1)
    wanted = DesiredRecord(
        ref=record.ref,
        flow=record.route.flow.name,
        target=record.route.flow.target,
        object=record.route.flow.object,
        key=record.translation.key,
        entity_id=record.entity.id,
        lane=f"{record.route.flow.target}:{record.account_id}",
        revision=revision,
        input_digest=input_digest,
        fields=fields,
        notes=notes,
        cause=record.cause,
    )
    bench.put_desired(wanted)
    if same_values or decision.effect is Effect.REFUSE:
        _tell_record(wanted, old, decision, bench, rulebook, kind="noted" if same_values else "refused")
    else:
        compared = {name: value for name, value in fields.items() if name not in decision.refused}
        chosen = compared if shadow else writes or gated
        held = None if shadow or writes else decision.because
        _lay_intent(record, wanted, old, chosen, decision, shadow=shadow, held=held, bench=bench, rulebook=rulebook)


def _tell_record(
    wanted: DesiredRecord,
    old: DesiredRecord | None,
    decision: Decision,
    bench: Workbench,
    rulebook: Rulebook,
    *,
    kind: str,
) -> None:
    """The line of the trail for a record that changes without a write: only its reasons, or what may not be sent."""
    bench.note(
        f"desk.record.{kind}",
        wanted.ref,
        wanted.cause,
        {
            "revision": wanted.revision,
            "flow": wanted.flow,
            "charter": rulebook.version,
            "before": old.input_digest if old is not None else None,
            "input": wanted.input_digest,
            "rules": sorted({reason.rule for reason in decision.reasons}),
        },
    )


def _let_sleep(record: _Wanted, bench: Workbench, hearing: Hearing) -> None:
    """What a replay has not named is not set off; the trail says so where it would have been."""
    old = bench.desired(record.ref)
    if old is not None and old.fields == record.translation.fields:
        return
    fields = frozenset(record.translation.fields)
    accounts = record.members or (record.account_id,)
    decision = hearing.decide(
        Case(flow=record.route.rules, fields=fields, switches=hearing.switches, replay=True, accounts=accounts)
    )
    body: dict[str, str | int | bool | list[str] | None] = {
        "flow": record.route.flow.name,
        "reasons": [reason.text for reason in decision.reasons if reason.rule == REPLAY_RULE],
    }
    bench.note("court.automation.asleep", str(record.entity), record.cause, body)


def _ask_court(record: _Wanted, stood: Stood, bench: Workbench, hearing: Hearing) -> Decision:
    rules = record.route.rules
    return hearing.decide(
        Case(
            flow=rules,
            fields=frozenset(stood.fields),
            switches=hearing.switches,
            problems=frozenset(problem.field for problem in record.translation.problems),
            contested=stood.held,
            kept=stood.kept,
            verdicts=judge_gates(rules.gates, bench.clearances(record.account_id), now=bench.now),
            accounts=record.members or (record.account_id,),
            opening=record.opening,
        )
    )


def _lift(lapsed: Iterable[Stand], record: _Wanted, bench: Workbench) -> None:
    """The owner said something else since: what stood against its former value stands no more."""
    for stand in lapsed:
        bench.lift_stand(stand)
        body: dict[str, str | int | bool | list[str] | None] = {"field": stand.field, "conflict": stand.conflict_id}
        bench.note("court.stand.lapsed", stand.record, record.cause, body)


def _notes(record: _Wanted) -> Iterator[str]:
    for name, reason in record.route.withheld.items():
        yield f"{name} is held: {reason}"
    for problem in record.facts.problems:
        yield f"{problem.fact} is left out: {problem.reason}"
    for field in record.translation.problems:
        yield f"{field.field} is left out: {field.reason}"


def _lay_intent(
    record: _Wanted,
    wanted: DesiredRecord,
    old: DesiredRecord | None,
    fields: dict[str, WireValue],
    decision: Decision,
    *,
    shadow: bool,
    held: str | None,
    bench: Workbench,
    rulebook: Rulebook,
) -> None:
    # Of a record that is not there yet everything is a change, however often it was held before.
    is_unopened = record.opening is not None and not record.opening.is_there
    changes = difference(None if old is None or is_unopened else old.fields, fields)
    intent = plan_intent(
        flow=wanted.flow,
        target=wanted.target,
        object_name=wanted.object,
        key_field=record.route.mapping.key_field,
        key=wanted.key,
        entity=record.entity,
        lane=wanted.lane,
        step=record.step,
        fields=fields,
        changes=changes,
        cause=record.cause,
        planned_at=bench.now,
        revision=wanted.revision,
        address=record.deal.address if record.deal is not None else None,
    )
    bench.changes.intents.append(
        PlannedIntent(
            intent=intent, shadow=shadow, decision=encode_decision(decision), charter=rulebook.version, held=held
        )
    )
    bench.note(
        "desk.intent.shadowed" if shadow else "desk.intent.planned" if held is None else "desk.intent.held",
        wanted.ref,
        record.cause,
        {
            "intent": intent.id,
            "revision": wanted.revision,
            "flow": wanted.flow,
            "charter": rulebook.version,
            "before": old.input_digest if old is not None else None,
            "input": wanted.input_digest,
            "fields": [change.field for change in changes],
            "rules": sorted({reason.rule for reason in decision.reasons}),
        },
    )
