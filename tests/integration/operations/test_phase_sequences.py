"""Any order of comparing, growing old, requesting, approving, narrowing and writing widens on red evidence never (GO4).

What was narrowed stops at once, whatever a courier has leased by then. Judged by a model that knows no rule of ours.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from accordant.canonical.charter import Phase
from accordant.kernel.errors import RejectedError
from accordant.ports.outbox import LeasedIntent
from tests.integration.operations.kit import Installation
from tests.integration.operations.test_widen import ACCOUNTS, WHY, a_company, compared, in_force, lease

PEOPLE = ("Ada", "Bo", "Cy", "Zed")
APPROVERS = ("Bo", "Cy")
STEPS = 80
#: Moves and how often each is made.
MOVES = {"compare": 5, "grow old": 2, "request": 6, "approve": 8, "narrow": 3, "sell": 5, "lease": 6, "deliver": 2}


@dataclass
class Asked:
    """A request as the model saw it made."""

    name: str
    by: str
    spent: bool = False


@dataclass
class Walk:
    """One installation, and what a person watching it knows: whether anybody compared since evidence grew old."""

    one: Installation
    dice: random.Random
    is_fresh: bool = False
    is_wide: bool = False
    asked: list[Asked] = field(default_factory=list)
    in_hand: list[LeasedIntent] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    async def step(self, move: str) -> None:
        before = self.one.writes()
        match move:
            case "compare":
                await compared(self.one)
                self.is_fresh = True
            case "grow old":
                self.one.clock.move(days=3)
                self.is_fresh = False
            case "request":
                self.request()
            case "approve":
                self.approve()
            case "narrow":
                self.narrow()
            case "sell":
                self.one.sell(1)
                self.one.take_in()
                self.one.process()
            case "lease":
                self.one.process()
                self.in_hand += [each for each in lease(self.one) if not each.shadow]
            case "deliver":
                self.one.process()
                self.one.clock.move(minutes=3)
                await self.one.deliver()
            case _:
                raise AssertionError(move)
        assert in_force(self.one) is (Phase.CONTROLLED if self.is_wide else Phase.READ_ONLY), move
        assert in_force(self.one, "subscriptions") is Phase.READ_ONLY
        if not self.is_wide:
            assert self.one.writes() == before, f"written while it may only be read: {move}"
            self.nothing_in_hand_goes_out()

    def request(self) -> None:
        by = self.dice.choice(PEOPLE)
        wished = self.dice.choice([Phase.CONTROLLED, Phase.CONTROLLED, Phase.AUTOMATED])
        try:
            name, _ = self.one.hub.phase_office.request(ACCOUNTS, wished, actor=by, reason=WHY)
        except RejectedError:
            self.seen["request refused"] += 1
            return
        assert self.is_fresh, "requested on red evidence"
        assert (wished, self.is_wide) == (Phase.CONTROLLED, False)
        self.asked.append(Asked(name, by))

    def approve(self) -> None:
        if not self.asked:
            return
        proposal, by = self.dice.choice(self.asked[-3:]), self.dice.choice(PEOPLE)
        try:
            self.one.hub.phase_office.approve(proposal.name, actor=by, reason="Read and agreed.")
        except RejectedError:
            self.seen["approval refused"] += 1
            return
        assert self.is_fresh, "widened on red evidence"
        assert by in APPROVERS
        assert by != proposal.by
        assert (proposal.spent, self.is_wide) == (False, False)
        proposal.spent = self.is_wide = True
        self.seen["widened"] += 1

    def narrow(self) -> None:
        began = time.monotonic()
        try:
            self.one.hub.phase_office.narrow(
                ACCOUNTS, Phase.READ_ONLY, actor=self.dice.choice(PEOPLE), reason="Stop at once."
            )
        except RejectedError:
            assert not self.is_wide, "what is wide can be narrowed by anybody, whatever the evidence says"
            return
        assert self.is_wide
        self.is_wide = False
        self.nothing_in_hand_goes_out()
        assert time.monotonic() - began < 1.0
        self.seen["narrowed"] += 1

    def nothing_in_hand_goes_out(self) -> None:
        gate = self.one.hub._open_gate()
        assert all(gate(each, frozenset(each.intent.fields)) is not None for each in self.in_hand)


# Walks that meet every answer.
@pytest.mark.parametrize("seed", [1, 4])
async def test_no_order_of_events_widens_on_red_and_narrowing_is_at_once(
    store_url: str, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    async with a_company(store_url, tmp_path) as one:
        walk = Walk(one, dice)
        for move in dice.choices(list(MOVES), weights=list(MOVES.values()), k=STEPS):
            await walk.step(move)
            one.clock.move(seconds=1)
        for met in ("request refused", "approval refused", "widened", "narrowed"):
            assert walk.seen[met], f"the walk never met: {met}"
        await widened_leased_and_narrowed(walk)


async def widened_leased_and_narrowed(walk: Walk) -> None:
    """Wherever a walk ended: writes are in hand when the flow is narrowed, and none of them goes out."""
    walk.narrow()
    await walk.step("compare")
    office = walk.one.hub.phase_office
    proposal, _ = office.request(ACCOUNTS, Phase.CONTROLLED, actor="Ada", reason=WHY)
    office.approve(proposal, actor="Bo", reason="Read and agreed.")
    walk.is_wide = True
    walk.in_hand.clear()
    await walk.step("sell")
    await walk.step("lease")
    assert walk.in_hand
    await walk.step("narrow")
    await walk.step("deliver")
