"""An evidence pack as one file: the pack itself, a page for people, and a manifest of digests of both.

The digest of ``evidence.json`` is the one the proposal and the grant name, so anyone can check them without the hub.
"""

import io
import zipfile

import msgspec

from accordant.canonical.phases import EvidencePack
from accordant.kernel.hashing import canonical_json, digest

#: Files of one content give one archive: no time of packing goes in.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def pack_file(pack: EvidencePack) -> bytes:
    """The archive: evidence.json in canonical form, evidence.md, manifest.json."""
    files = {"evidence.json": canonical_json(pack), "evidence.md": as_markdown(pack).encode()}
    manifest = {name: digest(content).hex() for name, content in files.items()}
    files["manifest.json"] = msgspec.json.format(canonical_json(manifest), indent=2)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _NO_TIME), content)
    return buffer.getvalue()


def as_markdown(pack: EvidencePack) -> str:
    """The pack as a page."""
    verdict = "green" if pack.is_green else "red"
    lines = [
        f"# {pack.company}: {pack.flow}, from {pack.before} to {pack.wished}",
        "",
        f"Collected {pack.collected_at:%Y-%m-%d %H:%M} UTC under charter {pack.charter}. Verdict: **{verdict}**.",
        *((f"No evidence is asked for: {pack.waived}",) if pack.waived else ()),
        "",
        *_table((("Item", "Holds", "Figure", "What was found", "See it again"), *_items(pack))),
    ]
    for name, rows in pack.tables.items():
        lines += ["", f"## {name.replace('-', ' ').capitalize()}", ""]
        lines += _table(rows) if len(rows) > 1 else ["Nothing."]
    return "\n".join(lines) + "\n"


def _items(pack: EvidencePack) -> list[tuple[str, ...]]:
    return [
        (item.name, "yes" if item.is_green else "no", item.figure, item.text, f"`{item.query}`") for item in pack.items
    ]


def _table(rows: tuple[tuple[str, ...], ...]) -> list[str]:
    head, *body = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [_row(head), _row(["---"] * len(head)), *(_row(row) for row in body)]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
