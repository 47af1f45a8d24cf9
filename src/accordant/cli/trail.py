"""`audit verify` recomputes the trail, `checkpoint` signs where it ends, `export` lets it leave the machine.

What they write is verified elsewhere by `accordant.audit_verifier`, which shares no code with them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from accordant.cli.options import COMMON, Common, now, opened_store, settings_of
from accordant.cli.render import Meter, emit, say, shown, table
from accordant.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from accordant.store.checkpoints import Checkpoint

audit_app = App(name="audit", help="The audit trail: prove it, and keep a witness elsewhere.")


@audit_app.command
def verify(
    *,
    checkpoint: Annotated[
        Path | None, Parameter(help="File with the lines of `audit checkpoint`, kept elsewhere.")
    ] = None,
    public_key: Annotated[
        str | None, Parameter(help="The public key that was kept; left out, the one beside the store is believed.")
    ] = None,
    common: Common = COMMON,
) -> int:
    """Recompute every entry, batch and link of the trail. Exit code 1 when it does not hold."""
    from accordant.store.audit import verify_chain

    marks = _marks(common, checkpoint, public_key)
    with opened_store(common) as database, database.read() as connection:
        report = verify_chain(connection, checkpoints=marks)
    if common.json:
        emit({"holds": not report.faults, "report": report, "checkpoints": marks})
    else:
        say(f"{shown(report.entries)} entries in {shown(report.batches)} batches were recomputed.")
        table(
            "Where the trail does not hold", ("Position", "Problem"), ((f.position, f.problem) for f in report.faults)
        )
        if not report.faults:
            say("The trail holds." if marks else "The trail holds in itself; give --checkpoint to rule out a cut end.")
    return 1 if report.faults else 0


def _marks(common: Common, file: Path | None, public_key: str | None) -> "tuple[Checkpoint, ...]":
    from accordant.store.checkpoints import read_checkpoint, read_signer

    if file is None:
        return ()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"--checkpoint {file} cannot be read: {error}.", remedy="Name the file that holds the lines."
        ) from error
    public = public_key or read_signer(settings_of(common).home).public
    return tuple(read_checkpoint(line, public=public) for line in lines if line.strip())


@audit_app.command
def checkpoint(
    *,
    out: Annotated[Path | None, Parameter(help="File to add the line to; else it is printed.")] = None,
    common: Common = COMMON,
) -> int:
    """One signed line that names the end of the trail now. Keep it on another machine, and the public key with it."""
    from accordant.store.checkpoints import export_checkpoint, read_signer

    signer = read_signer(settings_of(common).home)
    with opened_store(common) as database, database.read() as connection:
        line = export_checkpoint(connection, now=now(), signer=signer)
    if out is None:
        say(line)
        return 0
    with out.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    say(f"The checkpoint was added to {out}. It is verified with the public key {signer.public}.")
    return 0


@audit_app.command
def export(
    *,
    out: Annotated[Path, Parameter(help="File to write.")],
    bodies: Annotated[
        bool, Parameter(negative="", help="With the content of each entry: names of people and fields stand in it.")
    ] = False,
    common: Common = COMMON,
) -> int:
    """Write the trail to a file that `python -m accordant.audit_verifier` verifies on any machine."""
    from accordant.store.audit_export import export_trail

    lines = 0
    with (
        opened_store(common) as database,
        database.snapshot() as connection,
        Meter("Lines written") as meter,
        out.open("wb") as file,
    ):
        for line in export_trail(connection, now=now(), bodies=bodies):
            file.write(line)
            lines += 1
            meter(lines, 0)
    if common.json:
        emit({"file": str(out), "lines": lines, "bodies": bodies})
    else:
        say(f"{shown(lines)} lines were written to {out}{'' if bodies else ', without the content of the entries'}.")
    return 0
