"""Stop a flow, an object, a system, a class or every write, at once and with a reason; let it go on.

The court asks the switches. Nothing is lost meanwhile: intake goes on, and what was planned is sent as today's desired
record afterwards.
"""

from datetime import datetime

from accordant.canonical.charter import Automation, Charter
from accordant.governance.decide import (
    ALL_WRITES,
    CUSTOMERS_AND_MONEY,
    NONESSENTIAL,
    class_switch,
    flow_switch,
    object_switch,
    system_switch,
)
from accordant.kernel.errors import RejectedError
from accordant.ports.audit import AuditEntry
from accordant.ports.switches import Switchboard


class SwitchUnknown(RejectedError):
    """There is no flow or system of that name."""


def switch_of(charter: Charter, what: str) -> str:
    """The switch of a flow, ``system:NAME``, ``object:SYSTEM/OBJECT``, ``class:AUTOMATION``, or of a whole group.

    The groups are all writes (``writes``), those that change nothing about money or subscriptions (``nonessential``),
    and automations that contact customers or move money (``customers-and-money``). Raises SwitchUnknown.
    """
    flows = {flow.name for flow in charter.flows}
    if what in flows:
        return flow_switch(what)
    switches = [
        *(flow_switch(name) for name in sorted(flows)),
        *(system_switch(name) for name in sorted(charter.systems)),
        *sorted({object_switch(flow.target, flow.object) for flow in charter.flows}),
        *(class_switch(automation) for automation in Automation),
        NONESSENTIAL,
        CUSTOMERS_AND_MONEY,
        ALL_WRITES,
    ]
    if what in switches:
        return what
    known = [name.removeprefix("flow:") for name in switches]
    raise SwitchUnknown(f"There is nothing called {what!r} to pause.", remedy=f"Choose one of: {', '.join(known)}.")


def pause(*, switch: str, actor: str, reason: str, board: Switchboard, now: datetime) -> bool:
    """Throw a switch; False when it was thrown already. Raises RejectedError without a name or a reason."""
    return board.throw(switch, reason=reason.strip(), entry=_entry("thrown", switch, actor, reason, now))


def resume(*, switch: str, actor: str, reason: str, board: Switchboard, now: datetime) -> bool:
    """Release a switch; False when it was not thrown. Raises RejectedError without a name or a reason."""
    return board.release(switch, entry=_entry("released", switch, actor, reason, now))


def _entry(what: str, switch: str, actor: str, reason: str, now: datetime) -> AuditEntry:
    if not actor.strip() or not reason.strip():
        raise RejectedError(
            "A switch is moved by a named person for a stated reason.", remedy="Give both: who you are, and why."
        )
    return AuditEntry(
        kind=f"operations.switch.{what}",
        actor=actor.strip(),
        subject=f"switch/{switch}",
        cause=None,
        at=now,
        body={"reason": reason.strip()},
    )
