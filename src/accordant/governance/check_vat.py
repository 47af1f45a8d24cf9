"""The charter's part about the register of value-added tax numbers: how often it is asked, and for whom."""

from collections.abc import Iterator, Mapping

from accordant.canonical.charter import Charter
from accordant.canonical.clearances import CheckKind
from accordant.governance.findings import ConnectorFacts, Defect, Severity, place


def check_vat(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """That the register's answers are young enough for the gates that ask for them, and that there are any."""
    del connectors  # the register is no system of ours
    if charter.vat is None:
        return
    gates = [gate for gate in charter.gates if gate.check is CheckKind.VAT]
    if not gates:
        yield Defect(
            where=place("vat"),
            problem="No gate asks for the vat check, so the register would be asked for nothing.",
            remedy="Add a gate with check: vat, or remove the part.",
        )
        return
    shortest = min(gate.evidence_days_max for gate in gates)
    if not 1 <= charter.vat.recheck_days < shortest:
        yield Defect(
            where=place("vat", "recheck_days"),
            problem=f"Answers that are asked for again after {charter.vat.recheck_days} days grow too old for a gate"
            f" that takes {shortest}.",
            remedy=f"Give a number from 1 to {shortest - 1}, so that an outage of the register holds nobody at once.",
        )
    if not charter.vat.requester:
        yield Defect(
            where=place("vat", "requester"),
            problem="Without the company's own number the register gives no consultation number.",
            remedy="Give it: a tax office asks for that number as proof.",
            severity=Severity.WARNING,
        )
    if charter.vat.address and not charter.vat.stand_in and not charter.vat.address.startswith("https://"):
        yield Defect(
            where=place("vat", "address"),
            problem="The address is not encrypted.",
            remedy="Leave it out: the Commission's own is taken then.",
        )
