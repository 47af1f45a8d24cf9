"""The court for one batch under one policy: what was decided for one record is not heard again for one just like it.

A decision is a pure function of its case (`decide.py`), and the records of a batch mostly differ in their values only,
of which a case knows nothing.
"""

from collections.abc import Hashable

from accordant.governance.decide import Case, CompiledFlow, Decision, Switches, decide


class Hearing:
    """Answers as ``decide`` does. Make one for each batch, and a new one whenever policy is to be read anew."""

    def __init__(self, switches: Switches) -> None:
        self.switches = switches
        # The flow is kept beside its answer, so that nothing else can come to stand under its identity.
        self._heard: dict[Hashable, tuple[CompiledFlow, Decision]] = {}

    def decide(self, case: Case) -> Decision:
        """The court's answer. What hangs on one record, as a conflict or a flag of its customer, is heard each time."""
        is_flagged = not self.switches.flags.keys().isdisjoint(case.accounts)
        is_of_one = case.contested or case.verdicts or case.flow.gates or is_flagged or case.opening is not None
        if case.switches is not self.switches or is_of_one:
            return decide(case)
        name = (id(case.flow), case.fields, case.replay, case.problems, case.kept, self._changing(case))
        known = self._heard.get(name)
        if known is None:
            known = self._heard[name] = (case.flow, decide(case))
        return known[1]

    def _changing(self, case: Case) -> frozenset[str] | None:
        """Which fields change is asked by one rule only, while the nonessential is frozen; it differs by record."""
        return case.changing if self.switches.is_nonessential_frozen else None
