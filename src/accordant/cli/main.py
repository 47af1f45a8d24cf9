"""`accordant`: its commands put together, and the last net: a sentence and the next step, never a stack trace.

Exit codes: 0 done; 1 something was found or did not hold; 2 usage or a setting; 3 store or system unreachable.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version as installed_version

from cyclopts import App, CycloptsError

from accordant.cli import (
    clearance,
    conflicts,
    connect,
    flags,
    incident,
    look,
    openings,
    operate,
    people,
    phase,
    recover,
    rehearse,
    restored,
    review,
    rules,
    serving,
    settle,
    simulate,
    sweep,
    trail,
    trying,
    why,
)
from accordant.cli.identity import identity_app
from accordant.cli.ledger_commissions import books_app
from accordant.cli.options import GIVEN_CLOCK
from accordant.cli.payouts import payouts_app
from accordant.cli.render import err
from accordant.cli.saga import saga_app
from accordant.kernel.clock import Clock
from accordant.kernel.errors import (
    AccordantError,
    ConfigurationError,
    HoldError,
    RejectedError,
    TransientError,
)
from accordant.runtime.logs import configure_logs

DONE, FOUND, WRONG, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
_DEBUG = "--debug"

app = App(
    name="accordant",
    help="Keeps billing and CRM in agreement, and can prove it. `accordant <id>` traces any id of any system.",
    version=lambda: f"Accordant {installed_version('accordant')}",
    error_formatter=lambda error: f"{error} Run `accordant --help`.",
    help_epilogue="Exit codes: 0 done, 1 found something, 2 usage or a setting, 3 store or system unreachable. "
    "--debug shows where an error came from.",
)
app.default(look.trace)
for command in (
    rules.init,
    rules.check,
    connect.connect,
    serving.serve,
    look.trace,
    why.why,
    why.blame,
    look.status,
    rehearse.rehearse,
    operate.reconcile,
    recover.redrive,
    recover.replay,
    settle.settle,
    restored.restored,
    operate.pause,
    operate.resume,
    sweep.sweep,
    trying.demo,
    trying.bench,
    simulate.simulate,
    serving.version,
):
    app.command(command)
app.command(trail.audit_app)
app.command(conflicts.conflicts_app)
app.command(review.review_app)
app.command(rules.charter_app)
app.command(identity_app)
app.command(books_app)
app.command(payouts_app)
app.command(saga_app)
app.command(clearance.clearance_app)
app.command(openings.openings_app)
app.command(phase.phase_app)
app.command(people.people_app)
app.command(recover.patterns_app)
app.command(incident.incident_app)
app.command(flags.flags_app)


def run(words: Sequence[str], *, clock: Clock | None = None) -> int:
    """Carry out one command; its exit code. Prints every problem as a sentence.

    ``clock`` is what the command takes for now; None is the machine's own.
    """
    given = GIVEN_CLOCK.set(clock)
    try:
        return _run(words)
    finally:
        GIVEN_CLOCK.reset(given)


def _run(words: Sequence[str]) -> int:
    asked = [word for word in words if word != _DEBUG]
    is_debug = len(asked) != len(words)
    if not asked:
        app.help_print([])
        return DONE
    try:
        done = app(
            asked,
            exit_on_error=False,
            print_error=True,
            result_action="return_value",
            error_console=err(),
        )
    except CycloptsError:
        return WRONG
    except KeyboardInterrupt:
        return INTERRUPTED
    except AccordantError as error:
        if is_debug:
            raise
        err().print(str(error), markup=False, soft_wrap=True)
        return exit_code(error)
    except BrokenPipeError:
        # Whoever read us has seen enough (accordant status | head); nothing more may be flushed on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if is_debug:
            raise
        err().print(
            f"Accordant failed in a way nobody foresaw ({type(error).__name__}). Nothing half-done was stored. "
            f"Run the command again with {_DEBUG} and report what it prints.",
            markup=False,
            soft_wrap=True,
        )
        return UNREACHABLE
    return done if isinstance(done, int) else DONE


def exit_code(error: AccordantError) -> int:
    """The exit code of an error, by what happens next."""
    match error:
        case ConfigurationError() | RejectedError():
            return WRONG
        case TransientError() | HoldError():
            return UNREACHABLE
        case _:
            return UNREACHABLE


def main() -> None:
    """The entry point of the package."""
    configure_logs(os.environ.get("ACCORDANT_LOG_FORMAT", "text"))
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
