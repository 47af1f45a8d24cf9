"""The charter of an installation with what its connectors bring along: default mappings, ownership, and their facts.

Next: `store/charter_folder.py`, which reads the files.
"""

from itertools import product
from pathlib import Path

from accordant.canonical.charter import Charter, CustomerModel, SeveralCustomers
from accordant.canonical.connector_evidence import ConnectorEvidence
from accordant.connectors import registry
from accordant.governance.findings import ConnectorFacts, Severity
from accordant.store.charter_folder import CharterFolder, CharterInvalid, mapping_name, read_folder


def connector_facts() -> dict[str, ConnectorFacts]:
    """What governance must know of each installed connector."""
    return {name: registry.facts_of(connector) for name, connector in registry.installed().items()}


def connector_evidence() -> tuple[ConnectorEvidence, ...]:
    """What speaks for and against each installed connector, by name."""
    return tuple(one.evidence for _, one in sorted(registry.installed().items()))


def read_rules(folder: Path) -> CharterFolder:
    """A charter with the places of its lines, filled in from the connectors' defaults. Not yet checked.

    Raises: CharterInvalid with every defect, each with file, line and remedy.
    """
    installed = registry.installed()
    return read_folder(
        folder,
        default_mappings={
            mapping_name(name, *kind): one.default_mappings(*kind)
            for name, one in installed.items()
            if one.default_mappings
            for kind in product(CustomerModel, SeveralCustomers)
        },
        default_ownership={name: one.default_ownership() for name, one in installed.items() if one.default_ownership},
        connectors=connector_facts(),
    )


def checked_rules(folder: Path) -> Charter:
    """A charter that is ready to be put in force. Raises: CharterInvalid."""
    read = read_rules(folder)
    errors = tuple(defect for defect in read.check(connector_facts()) if defect.severity is Severity.ERROR)
    if errors:
        raise CharterInvalid(errors)
    return read.charter
