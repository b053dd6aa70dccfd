"""Charts as SVG, in an HTML file that needs nothing else."""

import html
import math
from pathlib import Path

_WIDTH, _HEIGHT = 860, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 250, 34, 48
_COLOURS = ["#0b6e4f", "#c1440e", "#2f4b9c", "#8a5a00", "#7a2a7a", "#3b7d9b", "#a51d3f", "#5b6b1f", "#444444", "#b07aa1"]
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #ffffff }
svg { width: 100%; height: auto; margin: 0.5rem 0 2rem }
svg text { font: 13px system-ui, sans-serif; fill: #333333 }
svg text.title { font-weight: bold }
svg { max-width: 62rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.85rem }
th, td { text-align: right; padding: 0.15rem 0.5rem; border-bottom: 1px solid #dddddd }
th:first-child, td:first-child, td.words { text-align: left }
td.figure { white-space: nowrap }
div { overflow-x: auto }
"""


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"


def _steps(highest: float) -> list[float]:
    """Round numbers from nothing to what lies at or above the highest, four to eight of them."""
    rough = max(highest, 1e-9) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [step * index for index in range(math.ceil(max(highest, 1e-9) / step) + 1)]


class Chart:
    """Lines; both axes begin with nothing, and so hide nothing.

    `across`: what the horizontal axis is. `ticks`: where it has which words, instead of round numbers.
    """

    def __init__(self, title: str, unit: str, across: str = "rows in the log", ticks: list[tuple[float, str]] | None = None):
        self._title, self._unit, self._across, self._ticks = title, unit, across, ticks
        self._lines: list[tuple[str, list[tuple[float, float]], bool]] = []

    def line(self, name: str, points: list[tuple[float, float]], dashed: bool = False) -> "Chart":
        if points:
            self._lines.append((name, points, dashed))
        return self

    def svg(self) -> str:
        columns = self._ticks or [(x, _short(x)) for x in _steps(max(x for _, points, _ in self._lines for x, _ in points))]
        rows = _steps(max(y for _, points, _ in self._lines for _, y in points))
        wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

        def across(x: float) -> float:
            return _LEFT + wide * x / columns[-1][0]

        def down(y: float) -> float:
            return _TOP + high * (1 - y / rows[-1])

        title = html.escape(f"{self._title}, {self._unit}")
        out = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}"><title>{title}</title>']
        out.append(f'<text x="{_LEFT}" y="20" class="title">{title}</text>')
        for y in rows:
            out.append(f'<line x1="{_LEFT}" x2="{_LEFT + wide}" y1="{down(y):.1f}" y2="{down(y):.1f}" stroke="#dddddd"/>')
            out.append(f'<text x="{_LEFT - 8}" y="{down(y) + 4:.1f}" text-anchor="end">{_short(round(y, 9))}</text>')
        for x, words in columns:
            out.append(f'<line x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{_TOP}" y2="{_TOP + high}" stroke="#eeeeee"/>')
            out.append(f'<text x="{across(x):.1f}" y="{_TOP + high + 18}" text-anchor="middle">{html.escape(words)}</text>')
        out.append(f'<text x="{_LEFT + wide / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{html.escape(self._across)}</text>')
        for number, (name, points, dashed) in enumerate(self._lines):
            colour = _COLOURS[number % len(_COLOURS)]
            path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)
            dashes = ' stroke-dasharray="6 4"' if dashed else ""
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
            if not dashed:
                out += [f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
            key, at = _TOP + 10 + number * 19, _LEFT + wide + 16
            out.append(f'<line x1="{at}" x2="{at + 22}" y1="{key - 4}" y2="{key - 4}" stroke="{colour}" stroke-width="3"{dashes}/>')
            out.append(f'<text x="{at + 28}" y="{key}">{html.escape(name)}</text>')
        return "\n".join(out) + "\n</svg>\n"


def _kind(name: str) -> str:
    """The subject that a bar's name begins with."""
    return name.partition(",")[0].partition(" (")[0]


class Bars:
    """A bar for each of several, with a line from the lowest to the highest value where these are known."""

    def __init__(self, title: str, unit: str):
        self._title, self._unit = title, unit
        self._bars: list[tuple[str, float, tuple[float, float] | None]] = []

    def bar(self, name: str, value: float, reach: tuple[float, float] | None = None) -> "Bars":
        self._bars.append((name, value, reach))
        return self

    def svg(self) -> str:
        # Room for the longest name, letters being some eight wide.
        left = max(260, 8 * max(len(name) for name, _, _ in self._bars))
        wide, step = _WIDTH - left - 90, 26
        steps = _steps(max(max(value, *(reach or (0, 0))) for _, value, reach in self._bars))
        bottom = _TOP + step * len(self._bars)

        def across(value: float) -> float:
            return left + wide * value / steps[-1]

        title = html.escape(f"{self._title}, {self._unit}")
        out = [f'<svg viewBox="0 0 {_WIDTH} {bottom + 34}" role="img" aria-label="{title}"><title>{title}</title>']
        out.append(f'<text x="0" y="20" class="title">{title}</text>')
        for x in steps:
            out.append(f'<line x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{_TOP}" y2="{bottom}" stroke="#eeeeee"/>')
            out.append(f'<text x="{across(x):.1f}" y="{bottom + 18}" text-anchor="middle">{_short(round(x, 9))}</text>')
        # The same subject has the same colour, whatever it is measured with.
        kinds = list(dict.fromkeys(_kind(name) for name, _, _ in self._bars))
        for number, (name, value, reach) in enumerate(self._bars):
            top, colour = _TOP + step * number, _COLOURS[kinds.index(_kind(name)) % len(_COLOURS)]
            out.append(f'<text x="{left - 8}" y="{top + 17}" text-anchor="end">{html.escape(name)}</text>')
            out.append(f'<rect x="{left}" y="{top + 4}" width="{max(1, across(value) - left):.1f}" height="18" fill="{colour}"/>')
            end = across(value)
            if reach:
                low, high = across(reach[0]), across(reach[1])
                out.append(f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{top + 13}" y2="{top + 13}" stroke="#1b1b1b" stroke-width="2"/>')
                end = max(end, high)
            words = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
            out.append(f'<text x="{end + 6:.1f}" y="{top + 17}">{words}</text>')
        return "\n".join(out) + "\n</svg>\n"


def _cell(kind: str, text: str) -> str:
    """Words begin at the left, figures end at the right."""
    words = ' class="words"' if text[:1].isalpha() or len(text) > 20 else ' class="figure"'
    return f"<{kind}{words}>{html.escape(text)}</{kind}>"


def table(lines: list[list[str]]) -> str:
    """A table whose first line is its head."""
    rows = ["<tr>" + "".join(_cell("td" if number else "th", text) for text in line) + "</tr>" for number, line in enumerate(lines)]
    return "<div><table>" + "\n".join(rows) + "</table></div>\n"


def page(path: Path, title: str, parts: list[str]) -> None:
    """Writes the parts (text, tables, charts) as a page of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n" + "\n".join(parts) + "</body></html>\n",
        encoding="utf-8",
    )
