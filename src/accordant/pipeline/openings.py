"""What sales has that billing could open: the facts of companies and opportunities, and whether their records may go.

Asked when a batch is decided and again before the first byte leaves, by the same code. Next: `plan.py`, `dispatch.py`.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from accordant.analytics.deals import Billed, billed_of, company_facts, opportunity_facts
from accordant.analytics.facts import Facts
from accordant.canonical.charter import Charter, ConditionPart, FieldType, FlowPart
from accordant.canonical.deals import Company, Contact, Opportunity
from accordant.canonical.entities import Account
from accordant.canonical.intents import OPENING_KINDS
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.governance.openings import OpeningVerdict
from accordant.kernel.errors import ConfigurationError
from accordant.mapping.expressions import CompiledExpression, ExpressionDefect, compile_expression
from accordant.mapping.spelling import Unspellable
from accordant.pipeline.workbench import Workbench
from accordant.ports.state import StoredEntity


class CompiledCondition(msgspec.Struct, frozen=True):
    """A condition made ready."""

    part: ConditionPart
    program: CompiledExpression

    def objection(self, facts: Facts) -> str | None:
        """Why it does not hold, as a sentence; None where it does. What is not known does not hold."""
        answer = self.program.evaluate(facts.values)
        if answer is True:
            return None
        if isinstance(answer, Unspellable):
            return f"{self.part.otherwise} ({self.part.name}: {answer.reason})"
        return self.part.otherwise


def compile_conditions(flow: FlowPart) -> tuple[CompiledCondition, ...]:
    """The conditions of a flow. Raises ConfigurationError for one that the check of a charter refuses."""
    found = []
    for part in flow.conditions:
        program = compile_expression(part.when, flow.entity, FieldType.FLAG)
        if isinstance(program, ExpressionDefect):
            raise ConfigurationError(f"{flow.name}, condition {part.name}: {program.reason}", remedy=program.remedy)
        found.append(CompiledCondition(part, program))
    return tuple(found)


class Deal(msgspec.Struct, frozen=True, kw_only=True):
    """A company or an opportunity with its facts for one flow. ``address`` is billing's id of its customer where it is
    known, ``payers`` are the accounts behind it; ``doubt`` says what no condition can cure.
    """

    stored: StoredEntity
    facts: Facts
    address: str | None
    payers: tuple[str, ...]
    doubt: str = ""


class Sales:
    """The companies of one batch, loaded once, with all that hangs below them and what billing has of them."""

    def __init__(self, bench: Workbench, charter: Charter) -> None:
        self._bench = bench
        self._flows = [flow for flow in charter.flows if flow.entity in OPENING_KINDS]
        #: Per CRM the objects in which it keeps copies of billing's customers.
        self._copies: dict[str, tuple[str, ...]] = {}
        for flow in charter.flows:
            if flow.entity is EntityKind.ACCOUNT:
                self._copies[flow.target] = (*self._copies.get(flow.target, ()), flow.object)
        self._below: dict[str, list[StoredEntity]] = {}

    def load(self, touched: Mapping[str, int | None]) -> dict[str, int | None]:
        """Fetch what is needed for what this batch moved; the roots to decide, each with the event that touched it.

        ``touched`` are accounts: what billing has of a company changed with them. Nothing is asked for where no flow
        carries anything of sales.
        """
        if not self._flows:
            return {}
        roots = dict(self._bench.sales)
        names = self._companies_of(touched)
        self._bench.load_named(names)
        for name, account_id in names.items():
            known = self._bench.named(*name)
            if known is not None:
                roots.setdefault(known.ref.id, touched[account_id])
        self._bench.load_whole(roots)
        for stored in self._bench.loaded():
            if stored.root_id in roots:
                self._below.setdefault(stored.root_id, []).append(stored)
        self._load_billing(roots)
        return roots

    def _companies_of(self, touched: Mapping[str, int | None]) -> dict[tuple[str, EntityKind, str], str]:
        """The companies behind accounts: whose copy they are in the CRM, or who opened them."""
        opened = {(flow.target, flow.object): flow.source for flow in self._flows if flow.entity is EntityKind.COMPANY}
        found: dict[tuple[str, EntityKind, str], str] = {}
        own: dict[ExternalRef, str] = {}
        for account_id, refs in self._bench.references(touched).items():
            for ref in refs:
                if ref.object_type in self._objects(ref.system):
                    found[ref.system, EntityKind.COMPANY, ref.id] = account_id
                elif (ref.system, ref.object_type) in opened:
                    own[ref] = account_id
        for ref, record in self._bench.written(own).items():
            key = record.removeprefix(f"{ref.system}:{ref.object_type}/")
            found[opened[ref.system, ref.object_type], EntityKind.COMPANY, key] = own[ref]
        return found

    def deals(self, root_id: str, flow: FlowPart) -> Iterator[Deal]:
        """What one flow carries of one company."""
        below = sorted(self._below.get(root_id, ()), key=lambda stored: stored.ref.id)
        company = next((stored for stored in below if isinstance(stored.entity, Company)), None)
        payers, billed = self._billed(company, flow)
        address = billed.customers[0] if len(billed.customers) == 1 else None
        doubt = ""
        if len(billed.customers) > 1:
            listed = ", ".join(billed.customers)
            many = len(billed.customers)
            doubt = f"{many} customers of {flow.target} are this company ({listed}): leave one of them linked to it."
        for stored in below:
            if stored.source.system != flow.source or stored.ref.kind is not flow.entity:
                continue
            match stored.entity:
                case Company() as one:
                    facts = company_facts(
                        one, people=_of(Contact, below), opportunities=_of(Opportunity, below), billed=billed
                    )
                    yield Deal(stored=stored, facts=facts, address=address, payers=payers, doubt=doubt)
                case Opportunity() as one:
                    above = company.entity if company is not None and isinstance(company.entity, Company) else None
                    facts = opportunity_facts(one, company=above, billed=billed, prices=flow.prices)
                    yield Deal(stored=stored, facts=facts, address=None, payers=payers, doubt=doubt)
                case _:
                    continue

    def verdict(
        self,
        deal: Deal,
        conditions: Iterable[CompiledCondition],
        *,
        record: str,
        content: str,
        courier: bool = False,
    ) -> OpeningVerdict:
        """Whether the first write of a record may go, as things stand now.

        What a condition says of a record that may be there already is perhaps said of that very record: billing's own
        event about it can come before the answer to our request. So of one that is under way nothing is asked when a
        batch is decided. The courier asks (``courier=True``): he has looked, and writes only what is not there.
        """
        if self._bench.confirmed(record) is not None:
            return OpeningVerdict(is_there=True)
        if self._bench.is_under_way(record) and not courier:
            return OpeningVerdict(is_released=self._bench.is_released(record, content))
        told = [objection for one in conditions if (objection := one.objection(deal.facts)) is not None]
        return OpeningVerdict(
            unmet=(*((deal.doubt,) if deal.doubt else ()), *told),
            is_released=self._bench.is_released(record, content),
        )

    # -- what billing has ----------------------------------------------------------------------------------------------

    def _objects(self, system: str) -> tuple[str, ...]:
        return self._copies.get(system, ())

    def _own(self, company: StoredEntity) -> list[tuple[str, str]]:
        """The records that a company itself opened, with their systems."""
        return [
            (flow.target, f"{flow.target}:{flow.object}/{company.source.id}")
            for flow in self._flows
            if flow.entity is EntityKind.COMPANY and flow.source == company.source.system
        ]

    def _copies_of(self, company: StoredEntity) -> list[ExternalRef]:
        system = company.source.system
        return [ExternalRef(system, name, company.source.id) for name in self._objects(system)]

    def _load_billing(self, roots: Iterable[str]) -> None:
        bench = self._bench
        companies = [stored for root in roots for stored in self._below.get(root, ()) if stored.ref.id == root]
        bench.load_links({ref for company in companies for ref in self._copies_of(company)})
        bench.load_confirmed({record for company in companies for _, record in self._own(company)})
        names = {
            (target, EntityKind.ACCOUNT, known)
            for company in companies
            for target, record in self._own(company)
            if (known := bench.confirmed(record)) is not None
        }
        bench.load_named(names)
        opened = {stored.ref.id for name in names if (stored := bench.named(*name)) is not None}
        accounts = opened.union(*(self._linked(company) for company in companies))
        bench.load_entities(accounts)
        bench.load_standings(accounts)

    def _linked(self, company: StoredEntity) -> set[str]:
        """The accounts whose copy in the CRM this company is."""
        links = self._bench.links
        found = {links[ref].id for ref in self._copies_of(company) if ref in links}
        return found.union(*(self._bench.holders(ref) for ref in self._copies_of(company)))

    def _billed(self, company: StoredEntity | None, flow: FlowPart) -> tuple[tuple[str, ...], Billed]:
        """The accounts of a company at one target, and what they have there."""
        if company is None:
            return (), Billed()
        bench = self._bench
        known: dict[str, StoredEntity] = {}
        opened = {bench.confirmed(record) for target, record in self._own(company) if target == flow.target} - {None}
        for name in opened:
            stored = bench.named(flow.target, EntityKind.ACCOUNT, str(name))
            if stored is not None:
                known[stored.ref.id] = stored
        for account_id in self._linked(company):
            stored = bench.entity(account_id)
            if stored is not None and stored.source.system == flow.target:
                known[account_id] = stored
        parts = [
            (stored.source.id, stored.entity.currency, bench.standing(stored.ref.id))
            for stored in known.values()
            if isinstance(stored.entity, Account) and not stored.entity.deleted
        ]
        billed = billed_of(parts)
        # Made by us a moment ago, and its own event is on the way.
        unheard = sorted(str(name) for name in opened if name not in {stored.source.id for stored in known.values()})
        return tuple(sorted(known)), msgspec.structs.replace(billed, customers=(*billed.customers, *unheard))


def _of(kind: type[Contact] | type[Opportunity], below: Iterable[StoredEntity]) -> list:  # type: ignore[type-arg]
    return [stored.entity for stored in below if isinstance(stored.entity, kind)]
