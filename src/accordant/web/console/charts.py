"""Pictures made in Python: plain SVG with a title, a description, and the same figures in a table beside it.

No style attributes (the page's policy forbids them): colours come from the style sheet by class.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from markupsafe import Markup

_WIDTH, _HEIGHT, _BASE = 600, 72, 66
_STEP_HEIGHT = 216


def bars(points: Sequence[tuple[datetime, int]], *, title: str, unit: str) -> Markup:
    """Bars over time from a visible zero line; the last one, whose minute is not over, is hatched."""
    top = max((value for _, value in points), default=0)
    whole = sum(value for _, value in points)
    described = (
        f"{whole:,} {unit} in {len(points)} minutes, at most {top:,} in one minute. The last minute is not over."
    )
    step = _WIDTH / max(1, len(points))
    drawn = []
    for index, (at, value) in enumerate(points):
        height = 0.0 if top == 0 else (_BASE - 4) * value / top
        if value:
            height = max(height, 1.5)
        kind = "bar open" if index == len(points) - 1 else "bar"
        told = f"{at.astimezone(UTC):%H:%M} UTC: {value:,} {unit}"
        drawn.append(
            Markup(
                '<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"><title>{}</title></rect>'
            ).format(kind, index * step + 0.75, _BASE - height, max(1.0, step - 1.5), height, told)
        )
    return Markup(
        '<svg class="chart" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" aria-labelledby="c-t c-d">'
        '<title id="c-t">{title}</title><desc id="c-d">{desc}</desc>'
        '<defs><pattern id="hatch" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="2" height="4" class="hatch"/></pattern></defs>'
        '{bars}<line class="zero" x1="0" y1="{base}" x2="{w}" y2="{base}"/></svg>'
    ).format(w=_WIDTH, h=_HEIGHT, base=_BASE, title=title, desc=described, bars=Markup("").join(drawn))


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One column: it reaches from ``begins`` to ``ends``; one that ``stands`` begins at the zero line."""

    label: str
    begins: int
    ends: int
    told: str
    stands: bool = False


def steps(columns: Sequence[Step], *, name: str, title: str, described: str) -> Markup:
    """Columns side by side over one zero line, each beginning where the one before ended unless it stands by itself.

    ``name`` tells the pictures of one page apart. The labels are text of the picture and scale with it.
    """
    low = min([0, *(min(one.begins, one.ends) for one in columns)])
    high = max([0, *(max(one.begins, one.ends) for one in columns)])
    span, room = max(high - low, 1), _STEP_HEIGHT - 52
    width = _WIDTH / max(1, len(columns))

    def at(value: int) -> float:
        return 6 + room * (high - value) / span

    drawn = []
    for index, one in enumerate(columns):
        upper, lower = at(max(one.begins, one.ends)), at(min(one.begins, one.ends))
        kind = "bar" if one.stands else "bar gain" if one.ends >= one.begins else "bar loss"
        drawn.append(
            Markup(
                '<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"><title>{}</title></rect>'
                '<text class="{}" x="{:.2f}" y="{:.2f}" text-anchor="middle">{}</text>'
            ).format(
                kind,
                index * width + width * 0.15,
                upper,
                width * 0.7,
                max(lower - upper, 1.5 if one.begins != one.ends else 0),
                one.told,
                "tick odd" if index % 2 else "tick",  # a narrow page sets them in two rows
                (index + 0.5) * width,
                _STEP_HEIGHT - 26,
                one.label,
            )
        )
    return Markup(
        '<svg class="chart steps" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{n}-t {n}-d">'
        '<title id="{n}-t">{title}</title><desc id="{n}-d">{desc}</desc>'
        '{bars}<line class="zero" x1="0" y1="{zero:.2f}" x2="{w}" y2="{zero:.2f}"/></svg>'
    ).format(w=_WIDTH, h=_STEP_HEIGHT, n=name, title=title, desc=described, bars=Markup("").join(drawn), zero=at(0))


def share(part: int, whole: int, *, label: str) -> Markup:
    """One bar filled by a share: never quite full unless it is whole."""
    filled = 0.0 if whole == 0 else min(100.0 if part == whole else 99.5, 100 * part / whole)
    return Markup(
        '<svg class="share" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="rest" width="100" height="4"/><rect class="part" width="{:.2f}" height="4"/></svg>'
    ).format(label, filled)
