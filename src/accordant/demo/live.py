"""Runs the demo: the story and its closing comparison; then, for people, gentle live traffic and a menu of faults.

`main` is what `accordant demo` calls. Exit code 0 only if the comparison holds.
"""

import asyncio
import sys
import termios
import tty
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count

import aiohttp
from rich.console import Console

from accordant.bootstrap import system_clock
from accordant.demo.report import Closing, compare
from accordant.demo.stage import BillingRefused, NotSettled, stage
from accordant.demo.story import (
    LODZ,
    MUELLER,
    NORTHWIND,
    TOKYO,
    CheckFailed,
    Play,
    play_story,
    set_seats,
    story_begins,
    two_states_in_one_second,
)

_TRAFFIC_EVERY_S = 3.0
_OUTAGE_S = 20.0
_INTERRUPTED = 130  # what a shell expects of a program that Ctrl-C ended before it was done
_MENU = "   ".join(
    f"[bold]{key}[/bold] {words}"
    for key, words in (
        ("d", "duplicate storm"),
        ("o", "CRM outage"),
        ("s", "same-second events"),
        ("e", "hand edit in Salesforce"),
        ("q", "quit"),
    )
)

Fault = Callable[[Play], Awaitable[None]]


def main(headless: bool, store: str | None, port: int, pace: float) -> int:  # noqa: FBT001  the command line's words
    """Run the demo until its end, or until somebody ends it. The exit code: 0 when everything held."""
    with suppress(KeyboardInterrupt):
        return asyncio.run(run(headless=headless, store=store, port=port, pace=pace, console=Console()))
    return _INTERRUPTED if headless else 0


async def run(*, headless: bool, store: str | None, port: int, pace: float, console: Console) -> int:
    """Play the story and compare; unless headless, go on with live traffic. ``pace``: seconds between chapters."""
    async with stage(store=store, starts_at=story_begins(system_clock()), port=port) as made:
        play = Play(made, console)
        console.print("Accordant demo: a billing system and a CRM on this machine, and the hub between them.")
        if not headless:
            console.print(f"The console is at [bold]{made.address}/[/bold]; open it and watch.")
        try:
            closing = await play_story(play, pace)
        except (CheckFailed, NotSettled, BillingRefused, aiohttp.ClientError) as problem:
            console.print(f"[red]✗[/red] {problem}", highlight=False)
            return 1
        if not headless:
            await _live(play)
        return exit_code(closing)


def exit_code(closing: Closing) -> int:
    """0 when billing, hub and CRM agree, one record waits with its reason, and every write is explained once."""
    return 1 if closing.faults else 0


async def _live(play: Play) -> None:
    """Gentle traffic until somebody quits."""
    made = play.stage
    behind = system_clock() - made.clock()
    if behind > timedelta():
        await made.pass_days(behind.days)
    play.console.print(f"\nThe company lives on at [bold]{made.address}/[/bold]. Ctrl-C ends the demo.")
    # While somebody tries a fault the traffic rests, so that what is seen has one cause.
    turn = asyncio.Lock()
    traffic = asyncio.create_task(_traffic(play, turn))
    try:
        with _keys() as keys:
            if keys is None:
                await traffic
                return
            play.console.print(_MENU)
            await _menu(play, keys, turn)
    finally:
        traffic.cancel()
        with suppress(asyncio.CancelledError):
            await traffic


async def _traffic(play: Play, turn: asyncio.Lock) -> None:
    """One small thing after another: seats come and go, a company changes its name."""
    for number in count():
        await asyncio.sleep(_TRAFFIC_EVERY_S)
        async with turn:
            with suppress(BillingRefused):
                await _one_small_thing(play, number)


async def _one_small_thing(play: Play, number: int) -> None:
    if number % 5 == 4:
        name = f"{MUELLER} ({number})"
        await play.stage.ask("POST", f"customers/{play.cast.customers[MUELLER]}", name=name)
    else:
        await set_seats(play, (MUELLER, NORTHWIND, LODZ, TOKYO)[number % 4], 1 + number % 9)


# -- the menu of faults ----------------------------------------------------------------------------------------------


async def _storm(play: Play) -> None:
    await play.stage.settled()
    before = play.stage.salesforce.org.effect_count
    taken = await play.stage.stripe.redeliver_everything(1)
    await play.stage.settled()
    made = play.stage.salesforce.org.effect_count - before
    play.say(f"{taken} repeats were accepted; Salesforce saw {made} writes.")


async def _outage(play: Play) -> None:
    await play.stage.salesforce.go_down()
    play.console.print(f"  Salesforce is down for {_OUTAGE_S:.0f} s. Billing goes on; watch the console.")
    await asyncio.sleep(_OUTAGE_S)
    await play.stage.salesforce.come_up()
    await play.stage.settled()
    play.say("Salesforce is back, and everything that waited has arrived once.")


async def _hand_edit(play: Play) -> None:
    key = play.cast.customers[NORTHWIND]
    play.stage.salesforce.edit("Account", key, "Billing_Status__c", "Churned", "sales@example.com")
    play.console.print(f"  Somebody set {NORTHWIND} to Churned by hand in Salesforce.")
    await set_seats(play, NORTHWIND, 11)
    await play.shows(NORTHWIND, "Billing_Status__c", "Active", "Active again: the next write put it right,")


async def _compared(play: Play) -> None:
    await play.stage.settled()
    closing = await compare(play.stage)
    values = sum(line.compared for line in closing.lines)
    play.say(f"{values} values compared, {len(closing.differences)} differ.")


_FAULTS: dict[str, tuple[Fault, ...]] = {
    "d": (_storm, _compared),
    "o": (_outage, _compared),
    "s": (two_states_in_one_second,),
    "e": (_hand_edit, _compared),
}


async def _menu(play: Play, keys: "asyncio.Queue[str]", turn: asyncio.Lock) -> None:
    """Carry out what is asked for on the keyboard until it is q."""
    while (key := await keys.get()) != "q":
        async with turn:
            await _try(play, _FAULTS.get(key, ()))
        play.console.print(_MENU)


async def _try(play: Play, faults: tuple[Fault, ...]) -> None:
    for fault in faults:
        try:
            await fault(play)
        except (CheckFailed, NotSettled, BillingRefused) as problem:
            play.console.print(f"  [red]✗[/red] {problem}", highlight=False)
            return


@contextmanager
def _keys() -> "Iterator[asyncio.Queue[str] | None]":
    """Single keys of the terminal, or None where there is no terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    keys: asyncio.Queue[str] = asyncio.Queue()
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, lambda: keys.put_nowait(sys.stdin.read(1) or "q"))
    try:
        tty.setcbreak(descriptor)
        yield keys
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
