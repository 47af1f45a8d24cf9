"""The artifacts of a charter as files: Markdown for a repository, HTML for a runbook. Every value is escaped in both.

Own small writers instead of templates: a page is a title, a sentence and tables, and nothing in it is ever markup.
"""

import html
import re
from collections.abc import Iterable

from accordant.views.charter import Artifact, Table

#: What Markdown, or HTML inside it, would take for markup.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
_LINES = re.compile(r"[\r\n\u2028\u2029]+")

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;min-width:100%}"
    "th,td{border:1px solid #8888;padding:.35rem .6rem;text-align:left;vertical-align:top}"
    "th{background:#8882}nav a{margin-right:1rem}"
)


def markdown_page(artifact: Artifact, *, made_of: str) -> str:
    """One artifact as Markdown. ``made_of`` says which charter it shows."""
    parts = [f"# {_mark(artifact.title)}", _mark(artifact.lead)]
    for table in artifact.tables:
        parts += [f"## {_mark(table.title)}", _mark(table.lead), _markdown_table(table)]
    parts.append(f"*{_mark(made_of)}*")
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    if not table.rows:
        return _mark(table.empty)
    lines = [table.header, tuple("---" for _ in table.header)]
    header, rule = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([header, rule, *(f"| {' | '.join(map(_mark, row))} |" for row in table.rows)])


def _mark(text: str) -> str:
    return (
        _MARKUP.sub(r"\\\1", _LINES.sub(" ", text))
        .replace("\\<", "&lt;")
        .replace("\\>", "&gt;")
        .replace("\\&", "&amp;")
    )


def html_page(artifact: Artifact, others: Iterable[Artifact], *, company: str, made_of: str) -> str:
    """One artifact as a page that stands alone: no script, nothing fetched. ``others`` are linked beside it."""
    links = "".join(
        f'<a href="{html.escape(one.slug)}.html"{" aria-current=page" if one.slug == artifact.slug else ""}>'
        f"{html.escape(one.title)}</a>"
        for one in others
    )
    tables = "".join(
        f"<h2>{html.escape(table.title)}</h2><p>{html.escape(table.lead)}</p>{_html_table(table)}"
        for table in artifact.tables
    )
    title = html.escape(f"{artifact.title} of {company}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><nav>{links}</nav><main><h1>{title}</h1><p>{html.escape(artifact.lead)}</p>{tables}</main>"
        f"<footer><p>{html.escape(made_of)}</p></footer></body></html>\n"
    )


def _html_table(table: Table) -> str:
    if not table.rows:
        return f"<p>{html.escape(table.empty)}</p>"
    header = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in table.header)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    label = html.escape(table.title)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
