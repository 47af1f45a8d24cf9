"""Faults on request: what can go wrong between a caller and a vendor, before or after the write is committed.
Guarantees that a fault strikes exactly the calls it was ordered for, as many times as ordered.
Next: a connector's own ``simulator.py``, which carries the orders out.
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS = frozenset(
    {
        "error_before",  # 5xx, nothing written
        "error_after",  # 5xx, everything written
        "reset_before",  # connection cut, nothing written
        "reset_after",  # connection cut, everything written
        "timeout_before",  # no answer, nothing written
        "timeout_after",  # no answer, everything written
        "slow",  # the right answer, late
        "html",  # 200 with a login page, everything written
        "truncated",  # 200 with half the JSON, everything written
        "busy",  # 503 with Retry-After
        "too_many",  # 429 with Retry-After
        "expired",  # 401, as if the session were over
    }
)


@dataclass(slots=True)
class Fault:
    """One standing order. ``times`` counts down and ``None`` stands for ever; empty ``method`` and ``path`` match all.

    ``seconds`` is how long ``slow`` waits, how long a time-out hangs, and what Retry-After says.
    """

    kind: str
    times: int | None = 1
    method: str = ""
    path: str = ""
    seconds: float = 30.0
    status: int = 500

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind} is no fault: choose one of {', '.join(sorted(KINDS))}")


class FaultList:
    """Standing orders, oldest first."""

    def __init__(self) -> None:
        self._orders: list[Fault] = []
        self.struck: dict[str, int] = {}

    def add(self, fault: Fault) -> Fault:
        """Order a fault; it strikes from the next matching call on."""
        self._orders.append(fault)
        return fault

    def clear(self) -> None:
        """Withdraw every order."""
        self._orders.clear()

    def strike(self, method: str, path: str) -> Fault | None:
        """The fault that strikes this call, if any; counts it down."""
        for fault in self._orders:
            if fault.times == 0 or fault.method not in ("", method) or fault.path not in path:
                continue
            if fault.times is not None:
                fault.times -= 1
            self.struck[fault.kind] = self.struck.get(fault.kind, 0) + 1
            return fault
        return None
