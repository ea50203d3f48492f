"""Draws the plots of docs/PERFORMANCE.md from the tables that `e2e` prints.

    python3 plots.py ../docs/performance < tables.md

It needs Python's standard library only. A plot whose table is missing stays as it is.
"""

import math
import sys
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 700, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 64, 52
# Readable on white and on black. The dashes tell the lines apart without colours.
LINES = [("#2f7ed8", ""), ("#d9691a", "7 4"), ("#279a57", "2 4"), ("#a85ac8", "10 4 2 4")]
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .paper { fill: #ffffff }
  .grid { stroke: #d0d7de }
  @media (prefers-color-scheme: dark) {
    text { fill: #d5dbe1 }
    .paper { fill: #0d1117 }
    .grid { stroke: #30363d }
  }
"""


class Plot(NamedTuple):
    """A plot, and the start of the title of its table."""

    file: str
    table: str
    title: str
    x: str
    y: str
    log_y: bool = False
    first_x: float = 0


PLOTS = [
    Plot("streams.svg", "Streams: CPU", "An event by the number of streams", "open streams", "CPU µs per event"),
    # Fewer streams are smaller than the pages and arenas that they begin.
    Plot("memory.svg", "Streams: KiB", "Memory by the number of streams", "open streams", "KiB per stream",
         first_x=100),
    Plot("subscribers.svg", "Fan-out: million deliveries per CPU second, llm, ct",
         "Deliveries by the number of subscribers", "subscribers of all events", "million per CPU second"),
    Plot("types.svg", "Types: CPU us/event, ct", "An event by the number of types with a subscription",
         "subscriptions, each to one type", "CPU µs per event"),
    Plot("sizes.svg", "Sizes: CPU us/event, ct", "An event by its size", "bytes of data", "CPU µs per event", True),
    Plot("bytes.svg", "Sizes: CPU ns/byte, ct", "A byte by the size of its event", "bytes of data",
         "CPU ns per byte", True),
    Plot("capacity.svg", "Capacity: CPU us/event", "An event by the capacity of the queue",
         "capacity in events", "CPU µs per event"),
]


def tables(text):
    """Returns the points of each table: title -> series -> [(x, y)]."""
    found, title, series = {}, "", []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("### "):
            title, series = line[4:], []
        elif line.startswith("| |"):
            series = cells[1:]
        elif line.startswith("| ") and series:
            x = number(cells[0])
            for name, cell in zip(series, cells[1:]):
                # A ratio, such as 1.40x, is no number.
                if (y := number(cell)) is not None:
                    found.setdefault(title, {}).setdefault(name, []).append((x, y))
    return found


def number(cell):
    """Returns the number at the start of a cell such as `1,000 streams`, or None."""
    try:
        return float(cell.split(" ")[0].replace(",", ""))
    except ValueError:
        return None


class Axis(NamedTuple):
    """A scale from values to pixels, linear from zero or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def at(self, value):
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / ((high - low) or 1) * (self.end - self.start)


def steps(low, high, log):
    """Returns round values that enclose all from `low` to `high`."""
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return [10.0**power for power in range(first, last + 1)]
    rough = high / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    return [step * count for count in range(math.ceil(high / step) + 1)]


def short(value):
    """Formats a value of an axis: 0.05, 20, 1,000."""
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.6f}".rstrip("0").rstrip(".")


def size(value):
    """Formats a size in bytes: 16 B, 4 KiB."""
    for factor, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if value >= factor:
            return f"{value / factor:.0f} {unit}"
    return f"{value:.0f} B"


def svg(plot, series):
    """Returns the picture of one table."""
    series = {name: [point for point in points if point[0] >= plot.first_x] for name, points in series.items()}
    xs = sorted({x for points in series.values() for x, _ in points})
    ys = [y for points in series.values() for _, y in points]
    rows = steps(min(ys), max(ys), plot.log_y)
    across = Axis(xs[0], xs[-1], LEFT + 20, WIDTH - RIGHT - 30, True)
    up = Axis(rows[0], rows[-1], HEIGHT - BOTTOM, TOP, plot.log_y)
    label = size if plot.x.startswith("bytes") else short
    parts = [text(LEFT, 22, plot.title, "start", "title")]
    for y in rows:
        parts.append(line((LEFT, up.at(y)), (WIDTH - RIGHT, up.at(y))))
        parts.append(text(LEFT - 8, up.at(y) + 4, short(y), "end"))
    for x in xs:
        parts.append(line((across.at(x), TOP), (across.at(x), HEIGHT - BOTTOM)))
        parts.append(text(across.at(x), HEIGHT - BOTTOM + 18, label(x)))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, plot.x))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<g transform="rotate(-90 16 {middle})">{text(16, middle, plot.y)}</g>')
    legend = LEFT
    for (name, points), (colour, dashes) in zip(series.items(), LINES):
        stroke = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}" fill="none"'
        parts.append(f'<path d="M{legend} 42h26" {stroke}/>' + text(legend + 32, 46, name, "start"))
        legend += 50 + 7.2 * len(name)
        places = [(across.at(x), up.at(y)) for x, y in points]
        parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}" {stroke}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
    body = "\n".join(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
            f"<title>{escape(plot.title)}</title>\n<style>{STYLE}</style>\n"
            f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>\n{body}\n</svg>\n')


def text(x, y, words, anchor="middle", style=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}">{escape(words)}</text>'


def line(start, end):
    return '<path class="grid" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>'.format(*start, *end)


def main(folder, printed):
    found = tables(printed)
    for plot in PLOTS:
        for title, series in found.items():
            if title.startswith(plot.table):
                Path(folder, plot.file).write_text(svg(plot, series), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin.read())
