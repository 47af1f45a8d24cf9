"""Evidence as one file: what was found about a flow, what is known of the connectors, pages for people, all digests.

The digest of ``evidence.json`` is the one the proposal and the grant name, so anyone can check them without the hub.
"""

import io
import zipfile
from collections.abc import Iterator, Sequence

import msgspec

from accordant.canonical.connector_evidence import ConnectorEvidence, TraceSample
from accordant.canonical.phases import EvidencePack
from accordant.kernel.hashing import canonical_json, digest

#: Files of one content give one archive: no time of packing goes in.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_IN_THE_HUB = (
    "In the hub an event is stored once for each connection and id, and an intent once for each record and revision, "
    "in the commit that decided it. Where a target takes over is said below, object by object."
)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector is chosen by. ``connections`` are pairs of a connection's name and its connector;
    ``samples`` are of those.
    """

    connectors: tuple[ConnectorEvidence, ...]
    connections: tuple[tuple[str, str], ...] = ()
    samples: tuple[TraceSample, ...] = ()


def pack_file(pack: EvidencePack | None, choice: Choice) -> bytes:
    """The archive: evidence.json and evidence.md of a flow where one is asked about, connectors.json and connectors.md,
    manifest.json. JSON is in canonical form.
    """
    files = {} if pack is None else {"evidence.json": canonical_json(pack), "evidence.md": as_markdown(pack).encode()}
    files |= {"connectors.json": canonical_json(choice), "connectors.md": choice_page(choice).encode()}
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
        lines += _table(rows)
    return "\n".join(lines) + "\n"


def _items(pack: EvidencePack) -> list[tuple[str, ...]]:
    return [
        (item.name, "yes" if item.is_green else "no", item.figure, item.text, f"`{item.query}`") for item in pack.items
    ]


def choice_page(choice: Choice) -> str:
    """The connectors as a page: the matrix first, then each with how it repeats and where nothing is written twice."""
    capabilities = [score.capability for score in choice.connectors[0].scores] if choice.connectors else []
    matrix = [
        (one.title, one.tier, one.proved[0][0].replace("_", " ") if one.proved else "nothing", *_figures(one))
        for one in choice.connectors
    ]
    lines = [
        "# The connectors, and what speaks for each",
        "",
        "A figure is how many of the rules that apply are met. The tier takes all of its rules; it caps a phase.",
        "",
        *_table((("Connector", "Tier", "Best proof", *capabilities), *matrix)),
        "",
        _IN_THE_HUB,
    ]
    for one in choice.connectors:
        lines += ["", *_connector_part(one, choice)]
    return "\n".join(lines) + "\n"


def _figures(one: ConnectorEvidence) -> Iterator[str]:
    return (score.figure for score in one.scores)


def _connector_part(one: ConnectorEvidence, choice: Choice) -> Iterator[str]:
    yield from (f"## {one.title}", "", "### Proved against", "")
    yield from _table((("Level", "What"), *((level.replace("_", " "), what) for level, what in one.proved)))
    gaps = [(score.capability, ", ".join(score.todo), ", ".join(score.exempt)) for score in one.scores]
    yield from ("", "### What is missing", "")
    yield from _table((("Capability", "Missing", "Cannot apply"), *(gap for gap in gaps if gap[1] or gap[2])))
    yield from (f"- Not proved: {text}" for text in one.not_proved)
    yield from ("", "### Retries", "", *(f"- {text}" for text in one.retry))
    yield from ("", "### Replay", "", *(f"- {text}" for text in one.replay))
    yield from ("", "### Where nothing is written twice", "")
    head = ("Object", "Class", "Key", "The target knows a key for", "A search shows it after", "Enforced")
    yield from _table(
        (
            head,
            *(
                (
                    part.object,
                    part.destination_class,
                    part.natural_key,
                    "" if part.key_life_s is None else f"{part.key_life_s // 3_600} h",
                    f"{part.settles_after_s} s" if part.settles_after_s else "",
                    part.enforced,
                )
                for part in one.writes
            ),
        )
    )
    yield from ("", "### Sample traces", "")
    yield from _samples(one, choice)


def _samples(one: ConnectorEvidence, choice: Choice) -> list[str]:
    names = [connection for connection, connector in choice.connections if connector == one.name]
    if not names:
        return ["The charter names no system of this connector, so nothing was traced."]
    head = ("Event", "Id", "Happened", "Arrived", "Arrived again", "Tries", "Became", "Written")
    return _table(
        (
            head,
            *(
                (
                    f"{sample.event_type} ({sample.seq})",
                    sample.external_id,
                    sample.occurred_at,
                    sample.received_at,
                    str(sample.repeated),
                    str(sample.attempts),
                    ", ".join(sample.business_events) or sample.state,
                    ", ".join(f"{record} {state}" for record, state in sample.writes) or "nothing",
                )
                for sample in choice.samples
                if sample.connection in names
            ),
        )
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    if len(rows) == 1:
        return ["Nothing."]
    head, *body = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [_row(head), _row(["---"] * len(head)), *(_row(row) for row in body)]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
