"""`audit verify` recomputes the audit trail; `audit checkpoint` writes the line that proves a later cut or rewrite."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from accordant.cli.options import COMMON, Common, opened_store
from accordant.cli.render import emit, say, shown, table
from accordant.kernel.errors import ConfigurationError

audit_app = App(name="audit", help="The audit trail: prove it, and keep a witness elsewhere.")


@audit_app.command
def verify(
    *,
    checkpoint: Annotated[
        Path | None, Parameter(help="File with a line of `audit checkpoint`, kept elsewhere.")
    ] = None,
    common: Common = COMMON,
) -> int:
    """Recompute every entry, batch and link of the trail. Exit code 1 when it does not hold."""
    from accordant.store.audit import read_checkpoint, verify_chain

    mark = None
    if checkpoint is not None:
        try:
            mark = read_checkpoint(checkpoint.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"--checkpoint {checkpoint} cannot be read: {error}.", remedy="Name the file that holds the line."
            ) from error
    with opened_store(common) as database, database.read() as connection:
        report = verify_chain(connection, checkpoint=mark)
    if common.json:
        emit({"holds": not report.faults, "report": report, "checkpoint": mark})
    else:
        say(f"{shown(report.entries)} entries in {shown(report.batches)} batches were recomputed.")
        table(
            "Where the trail does not hold", ("Position", "Problem"), ((f.position, f.problem) for f in report.faults)
        )
        if not report.faults:
            say("The trail holds." if mark else "The trail holds in itself; give --checkpoint to rule out a cut end.")
    return 1 if report.faults else 0


@audit_app.command
def checkpoint(
    *,
    out: Annotated[Path | None, Parameter(help="File to add the line to; else it is printed.")] = None,
    common: Common = COMMON,
) -> int:
    """One line that names the end of the trail now. Keep it on another machine."""
    from accordant.store.audit import export_checkpoint

    with opened_store(common) as database, database.read() as connection:
        line = export_checkpoint(connection, now=datetime.now(UTC))
    if out is None:
        say(line)
        return 0
    with out.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    say(f"The checkpoint was added to {out}.")
    return 0
