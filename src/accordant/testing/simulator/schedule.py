"""One schedule: a past is delivered while things go wrong; then the weather clears and everything has to come right.

The story is drawn from the seed alone. Next: `checks.py` for what has to hold, `run.py` for many schedules.
"""

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from accordant.canonical.charter import Phase
from accordant.canonical.intents import WireValue
from accordant.kernel.clock import to_micros
from accordant.ports.connector import DestinationClass
from accordant.store.closure import open_ends
from accordant.testing.simulator.checks import Compared, check
from accordant.testing.simulator.provider import Past, a_past
from accordant.testing.simulator.stage import Machine, Provider, Rates, Setting, Stage
from accordant.testing.simulator.world import Fault, World


class Story(msgspec.Struct, frozen=True):
    """Which past is lived: a company's seed, its customers, and how long it has existed."""

    number: int
    accounts: int
    months: int


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """How much a schedule has in it. ``pasts`` is how many different ones there are: each is lived once without a
    fault, to compare with. A long one begins to read only, is widened on the way, and ends with an incident.
    """

    pasts: int
    steps: tuple[int, int]
    is_long: bool = False

    def story(self, number: int) -> Story:
        """The past of this number."""
        if self.is_long:
            return Story(number, accounts=20, months=58)
        return Story(number, accounts=1 + number % 2, months=2 if number % 6 == 5 else 1)


SHORT = Length(pasts=12, steps=(8, 20))
#: Some 5,000 events of 20 customers (design of reliability, 4.2).
LONG = Length(pasts=2, steps=(700, 900), is_long=True)
#: How long nothing happens between two steps, where it does: shorter and longer than pauses, searches and leases.
#: By how much a machine's watch goes wrong. The last goes back behind all that sources have ever said: who tells by it
#: what was before and what after takes the past for the future.
_CLOCK_STEPS_S = (-86_400, -3_600, -30, 30, 3_600, 86_400, -10 * 366 * 86_400)
_WAITS_S = (3, 8, 30, 90)
#: How long nothing is done while something is still open: doubled each time, in virtual seconds.
_CALM_PAUSE_S = 15.0
#: After this long without a fault every lane has come to rest: longer than any clock was wrong.
CALM_MAX = timedelta(days=2)
#: After so long everything that a dead machine held is free again, in virtual seconds.
_SILENT_S = 130.0
#: How far the flows of a long schedule may go, from its first third to its last.
_WIDER = (Phase.READ_ONLY, Phase.CONTROLLED, Phase.AUTOMATED)
#: After so many words an incident is over: there are as many steps, each may take a second word.
_WORDS_MAX = 40

#: In how many schedules everything is replayed at the end, and how often; in how many of those the machine dies in it,
#: within so many moments.
_REPLAYED, _REPLAYS = 0.05, 3
_DIES_IN_REPLAY, _DIES_WITHIN = 0.5, 40
#: In how many schedules links stop one by one.
_SWIZZLED = 0.15

#: How probable a fault is, at each of its moments, in a schedule that has it.
_RATES: dict[Fault, float] = {
    Fault.CRASH: 0.02,
    Fault.REORDER: 0.5,
    Fault.DUPLICATE: 0.15,
    Fault.LOSS: 0.08,
    Fault.DELAY: 0.15,
    Fault.RATE_STORM: 0.04,
    Fault.ERROR_STORM: 0.04,
    Fault.TIMEOUT_BEFORE: 0.25,
    Fault.TIMEOUT_AFTER: 0.25,
    Fault.LIE_DONE: 0.06,
    Fault.LIE_FAILED: 0.1,
    Fault.LIE_OTHER_RECORD: 0.06,
    Fault.LEASE_EXPIRY: 0.04,
    Fault.CLOCK_STEP: 0.05,
    Fault.SWITCH_FLIP: 0.03,
    Fault.CHARTER_FLIP: 0.04,
    Fault.HAND_EDIT: 0.08,
    Fault.RESTORE: 0.04,
    Fault.STORE_AWAY: 0.02,
}
#: Of a long one, where hundreds of steps lie between: what people do and what stops everything is as rare as in life.
_LONG_RATES: dict[Fault, float] = {
    Fault.CRASH: 0.004,
    Fault.RATE_STORM: 0.02,
    Fault.ERROR_STORM: 0.02,
    Fault.LEASE_EXPIRY: 0.004,
    Fault.CLOCK_STEP: 0.01,
    Fault.SWITCH_FLIP: 0.002,
    Fault.CHARTER_FLIP: 0.003,
    Fault.HAND_EDIT: 0.02,
    Fault.RESTORE: 0.002,
}
_SHARE_OF_SCHEDULES = 0.3
#: How probable a fault is at least where a schedule is about it alone.
_LEAST_ALONE = 0.1


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one schedule. ``violations`` are sentences; none means that it held.

    ``replays`` is how often everything was walked once more at its end.
    """

    seed: int
    digest: str
    violations: tuple[str, ...]
    fired: dict[tuple[Fault, str], int]
    compared: Compared
    replays: int
    trace: tuple[str, ...]


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What a past comes to where nothing goes wrong: the hub's outcome, and each target's records."""

    outcome: dict[str, str]
    held: dict[str, dict[str, dict[str, WireValue]]]


def play(
    setting: Setting,
    seed: int,
    references: dict[Story, Reference],
    *,
    length: Length = SHORT,
    classes: Sequence[DestinationClass] = tuple(DestinationClass),
    only: frozenset[Fault] | None = None,
    replays: bool | None = None,
) -> Verdict:
    """Play one schedule with targets of any of these classes; with ``only``, exactly these faults may strike.

    ``references`` is filled with what pasts come to without faults, by their number. ``replays``: whether everything is
    replayed at the end; None lets the seed say.
    """
    dice = World(seed, begins_at=_past(length.story(0)).ended_at)
    story = length.story(dice.number(0, length.pasts - 1))
    drawn = [dice.one_of(classes) for _ in setting.targets]
    if story not in references:
        references[story] = _reference(setting, story)
    past = _past(story)
    world = World(seed, begins_at=past.ended_at)
    stage = Stage(setting, world, past, drawn)
    world.tell(f"past {story.number}, {' '.join(one.name for one in drawn)}")
    try:
        _turbulence(stage, only, length)
        _calm(stage)
        if length.is_long:
            _incident(stage)
        compared = check(stage, references[story].outcome, references[story].held)
        is_replayed = dice.chance(_REPLAYED) if replays is None else replays
        if is_replayed:
            dies = world.aside.random() < _DIES_IN_REPLAY if only is None else Fault.REPLAY_CRASH in only
            _replay_all(stage, dies=dies)
    finally:
        stage.close()
    return Verdict(
        seed=seed,
        digest=world.digest,
        violations=tuple(stage.violations),
        fired=dict(world.fired),
        compared=compared,
        replays=_REPLAYS if is_replayed else 0,
        trace=tuple(world.trace),
    )


def _replay_all(stage: Stage, *, dies: bool) -> None:
    """RE1: everything is walked again, several times; it was done already, so nothing comes of it.

    A machine that dies in the middle of it goes on where it was.
    """
    machine = stage.machines[0]
    for number in range(_REPLAYS):
        stage.world.passes(1)
        before = sum(len(one.effects) for one in stage.destinations.values())
        stage.dies_in = stage.world.aside.randint(1, _DIES_WITHIN) if dies else 0
        planned = stage.run(machine, "replay", lambda hub: hub.replay_all(f"replay {number}"))  # noqa: B023
        if machine.application is None:
            stage.world.passes(_SILENT_S)
            planned = stage.run(machine, "replay", lambda hub: hub.replay_all(f"replay {number}"))  # noqa: B023
        stage.dies_in = 0
        _come_to_rest(stage)
        effects = sum(len(one.effects) for one in stage.destinations.values()) - before
        if planned is None or planned or effects:
            stage.violations.append(f"RE1: a replay of everything planned {planned} writes and had {effects} effects.")


def _past(story: Story) -> Past:
    return a_past(story.number, accounts=story.accounts, months=story.months)


def _reference(setting: Setting, story: Story) -> Reference:
    past = _past(story)
    world = World(story.number, begins_at=past.ended_at)
    stage = Stage(setting, world, past, [DestinationClass.NATIVE_UPSERT for _ in setting.targets])
    try:
        _calm(stage)
        if stage.violations:
            raise AssertionError(f"Without a fault: {stage.violations[0]}")
        found = check(stage, None, None)
    finally:
        stage.close()
    return Reference(outcome=found.outcome, held={name: one.held() for name, one in stage.destinations.items()})


def _turbulence(stage: Stage, only: frozenset[Fault] | None, length: Length) -> None:
    """While things go wrong: any step of any machine, in any order, and whatever may happen between two steps."""
    world = stage.world
    drawn = {fault for fault in _RATES if length.is_long or world.chance(_SHARE_OF_SCHEDULES)} if only is None else only
    least = 0.0 if only is None else _LEAST_ALONE
    rates = _RATES | _LONG_RATES if length.is_long else _RATES
    stage.rates = Rates(of={fault: max(rate, least) for fault, rate in rates.items() if fault in drawn})
    steps = world.number(*length.steps)
    widened = dict(zip((0, steps // 3, 2 * steps // 3), _WIDER, strict=True)) if length.is_long else {}
    if world.aside.random() < _SWIZZLED if only is None else Fault.SWIZZLE in only:
        stage.links.draw(steps)
    for number in range(steps):
        stage.links.at_step(number)
        if number in widened:
            stage.widen(widened[number])
        _between_steps(stage)
        machine = world.one_of(stage.machines)
        at_work = stage.setting.store.look(to_micros(world.at))
        # A step that finds nothing to do shows nothing: what may be chosen is what has something in front of it.
        choices = {
            "receive": 6 * any(one.pending for one in stage.providers),
            "process": 4 * at_work.events,
            "deliver": 5 * bool(at_work.targets),
            "reread": 1 * at_work.rereads,
            "time": 2,
        }
        if stage.keeps_books:
            choices["say"] = 2
        match world.weighted(choices):
            case "receive":
                _deliver_some(stage, world.one_of(stage.providers))
            case "process":
                stage.process(machine)
            case "deliver":
                stage.deliver(machine, world.one_of(sorted(at_work.targets)))
            case "reread":
                stage.reread(machine)
            case "say":
                _say_something(stage, machine)
            case _:
                world.passes(world.one_of(_WAITS_S))
        world.passes(0.05)


def _say_something(stage: Stage, machine: Machine) -> None:
    """A person says something new, or says again what nobody answered: at whichever machine."""
    is_again = bool(stage.unanswered) and stage.world.chance(0.5)
    key = stage.world.one_of(stage.unanswered) if is_again else f"word {len(stage.words)}"
    stage.say(machine, key)


def _deliver_some(stage: Stage, provider: Provider) -> None:
    """Some deliveries arrive in one group: in order or not, twice, later, or never."""
    world, rates = stage.world, stage.rates
    count = min(world.number(1, 12), len(provider.pending))
    if world.strikes(Fault.REORDER, "deliveries", rates[Fault.REORDER]):
        world.shuffle(provider.pending)
    chosen, provider.pending = provider.pending[:count], provider.pending[count:]
    arriving: list[int] = []
    for index in chosen:
        if world.strikes(Fault.LOSS, "deliveries", rates[Fault.LOSS]):
            provider.lost.append(index)
        elif world.strikes(Fault.DELAY, "deliveries", rates[Fault.DELAY]):
            provider.pending.append(index)
        else:
            arriving.append(index)
            if world.strikes(Fault.DUPLICATE, "deliveries", rates[Fault.DUPLICATE]):
                provider.pending.insert(world.number(0, len(provider.pending)), index)
    if arriving:
        stage.receive(world.one_of(stage.machines), provider, arriving)


def _between_steps(stage: Stage) -> None:
    """What people, clocks and targets do between two steps."""
    world, rates = stage.world, stage.rates
    happens = {
        fault: world.chance(rates[fault])
        for fault in (
            Fault.RATE_STORM,
            Fault.ERROR_STORM,
            Fault.CLOCK_STEP,
            Fault.SWITCH_FLIP,
            Fault.CHARTER_FLIP,
            Fault.HAND_EDIT,
            Fault.RESTORE,
        )
    }
    for storm in (Fault.RATE_STORM, Fault.ERROR_STORM):
        if happens[storm]:
            stage.begin_storm(world.one_of(stage.setting.targets), storm, world.number(5, 200))
    if happens[Fault.CLOCK_STEP]:
        machine = world.one_of(stage.machines)
        machine.clock.skew_s = float(world.one_of(_CLOCK_STEPS_S))
        world.note_fault(Fault.CLOCK_STEP, f"{machine.clock.skew_s:+.0f} s")
    if happens[Fault.SWITCH_FLIP]:
        stage.flip_switch("between steps")
    if happens[Fault.CHARTER_FLIP]:
        stage.flip_charter()
    if happens[Fault.HAND_EDIT]:
        stage.edit_by_hand()
    if rates[Fault.RESTORE] and world.chance(0.2):
        stage.back_up()
    if happens[Fault.RESTORE]:
        stage.restore()


def _calm(stage: Stage) -> None:
    """The weather clears: what was lost is delivered again, what was stopped goes on, until nothing is left to do.

    One machine does it; the lanes of the other are free when nothing was heard of it for a while.
    """
    world, machine = stage.world, stage.machines[0]
    world.is_calm = True
    stage.links.restore_all()
    for one in stage.machines:
        one.clock.skew_s = 0.0
    stage.put_in_force(stage.setting.charter)
    # Each looks at its watch once more; then one of them does what is left.
    stage.process(stage.machines[1])
    stage.machines[1].application = None
    world.passes(_SILENT_S)
    stage.process(machine)
    stage.release_all()
    for provider in stage.providers:
        provider.pending += provider.lost
        provider.lost = []
        while provider.pending:
            some, provider.pending = provider.pending[:40], provider.pending[40:]
            stage.receive(machine, provider, some)
    for key in list(stage.unanswered):
        stage.say(machine, key)
    _come_to_rest(stage)
    if stage.needs_comparison:
        _compare_and_repair(stage)
        _come_to_rest(stage)


def _incident(stage: Stage) -> None:
    """RE3: a recovery is walked from its first step to its end, on matching records, and leaves nothing stopped.

    Where a target cannot be asked, no record can match: nobody opens an incident there. Where a record waits for a
    person, the incident stands rightly where it stands.
    """
    if any(one.destination_class is DestinationClass.NOTHING for one in stage.destinations.values()):
        return
    drive, machine = stage.setting.loop.drive, stage.machines[0]
    machine.clock.tick_s = 0.001
    stage.run(machine, "incident", lambda hub: hub.open_incident("The target was restored.", "ada"))
    for _ in range(_WORDS_MAX):
        stage.world.passes(60)
        stage.run(machine, "incident", lambda hub: drive(hub.go_on_with_incident("ada")))
        if not stage.run(machine, "incident", lambda hub: hub.is_incident_open()):
            break
    else:
        with stage.setting.store.database.read() as connection:
            if not open_ends(connection).waiting:
                stage.violations.append(f"RE3: an incident was still open after {_WORDS_MAX} words.")
    machine.clock.tick_s = machine.clock.skew_s = 0.0
    _come_to_rest(stage)


def _come_to_rest(stage: Stage) -> None:
    """Go on until nothing is open. Whatever is left after ``CALM_MAX`` is a violation."""
    world, machine = stage.world, stage.machines[0]
    until, pause_s = world.at + CALM_MAX, _CALM_PAUSE_S
    while world.at < until:
        at_work = stage.setting.store.look(to_micros(world.at))
        done = 0
        if at_work.events:
            done += stage.process(machine)
        if at_work.rereads:
            done += stage.reread(machine)
        for target in sorted(at_work.targets):
            done += stage.deliver(machine, target)
        if done:
            world.passes(1)
            pause_s = _CALM_PAUSE_S
            continue
        if at_work.is_over:
            return
        world.passes(pause_s)
        pause_s *= 2
    # The last step may have decided what was owed, which is no event: it is over by what there is to do now.
    if stage.setting.store.look(to_micros(world.at)).is_over:
        return
    with stage.setting.store.database.read() as connection:
        ends = open_ends(connection)
    stage.violations.append(
        f"Liveness: {ends.events} events and {ends.intents} writes are open {CALM_MAX.days} days after the last fault."
    )


def _compare_and_repair(stage: Stage) -> None:
    """What a lie or a hand left behind is found by comparing and put right by repairing, as every night."""
    drive = stage.setting.loop.drive
    for flow in stage.setting.charter.flows:
        if stage.destinations[flow.target].destination_class is DestinationClass.NOTHING:
            continue
        run = stage.run(stage.machines[0], "reconcile", lambda hub: drive(hub.reconcile(flow.name, actor="ada")).run.id)  # noqa: B023
        if run is not None:
            stage.run(stage.machines[0], "repair", lambda hub: hub.repair(run, actor="ada"))  # noqa: B023
