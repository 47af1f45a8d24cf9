"""Switches: what a person stopped, effective from the moment it is thrown."""

from typing import Protocol

from accordant.ports.audit import AuditEntry


class Switchboard(Protocol):
    """Obligations: the switch and its line in the trail are stored in one transaction."""

    def throw(self, name: str, *, reason: str, entry: AuditEntry) -> bool:
        """Throw a switch; False when it was thrown already (then nothing changes, the first reason stays)."""
        ...

    def release(self, name: str, *, entry: AuditEntry) -> bool:
        """Release a switch; False when it was not thrown."""
        ...
