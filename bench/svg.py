# SPDX-License-Identifier: Apache-2.0
"""Two kinds of plots as SVG: bars beside one another, and lines over a growing number. Colours that a colour-blind reader
can tell apart, readable on white and on dark pages."""
import html
import math

COLOURS = {"qvm": "#0072b2", "microvm": "#e69f00", "q35": "#009e73", "microvm+pvh": "#cc79a7", "q35+pvh": "#56b4e9", "bare": "#999999"}
SPARE = list(COLOURS.values())
WIDTH, FONT = 720, "font-family='system-ui, sans-serif'"


class _Page:
    def __init__(self, width, height, title):
        self.parts = [f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' {FONT}>",
                      "<!-- SPDX-License-Identifier: Apache-2.0 -->",
                      f"<rect width='{width}' height='{height}' fill='#ffffff'/>"]
        self.text(20, 28, title, 16, weight="600")

    def text(self, x, y, text, size=12, anchor="start", colour="#333333", weight="400"):
        self.parts.append(f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' fill='{colour}' "
                          f"font-weight='{weight}'>{html.escape(text)}</text>")

    def line(self, x1, y1, x2, y2, colour="#dddddd", width=1):
        self.parts.append(f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}' stroke-width='{width}'/>")

    def rect(self, x, y, width, height, colour):
        self.parts.append(f"<rect x='{x:.1f}' y='{y:.1f}' width='{max(width, 1):.1f}' height='{height:.1f}' rx='2' fill='{colour}'/>")

    def end(self):
        return "\n".join(self.parts) + "\n</svg>\n"


def _number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def bars(title, groups):
    """groups: [(label, {machine: (median, smallest, largest)})]. Each group is scaled to its own largest value: the groups
    have different units, which the labels name."""
    height, place = 50, {}
    for label, values in groups:
        place[label] = height
        height += 26 + 20 * len(values) + 10
    page = _Page(WIDTH, height + 6, title)
    left, room = 130, WIDTH - 130 - 110
    for label, values in groups:
        y = place[label]
        page.text(20, y + 12, label, 13, weight="600")
        most = max(high for _, _, high in values.values()) or 1
        for i, (machine, (median, low, high)) in enumerate(values.items()):
            top = y + 22 + i * 20
            page.text(left - 8, top + 11, machine, 12, "end")
            page.rect(left, top, room * median / most, 14, COLOURS.get(machine, "#999999"))
            if high > low:
                page.line(left + room * low / most, top + 7, left + room * high / most, top + 7, "#222222", 1.5)
                for end in (low, high):
                    page.line(left + room * end / most, top + 3, left + room * end / most, top + 11, "#222222", 1.5)
            page.text(left + room * max(high, median) / most + 8, top + 11, _number(median))
    return page.end()


def _ticks(most):
    step = 10 ** math.floor(math.log10(most)) if most > 0 else 1
    step = next(s for s in (step / 5, step / 2, step, step * 2) if most / s <= 6)
    return [i * step for i in range(int(most / step) + 2)]


def lines(title, across, series):
    """series: {label: [(number, value)]}; the numbers stand at equal distances, as they double or so."""
    page = _Page(WIDTH, 340, title)
    left, top, right, bottom = 70, 56, WIDTH - 170, 290
    ticks = _ticks(max(value for points in series.values() for _, value in points))
    numbers = sorted({number for points in series.values() for number, _ in points})

    def x(number):
        return left + (right - left) * numbers.index(number) / max(1, len(numbers) - 1)

    def y(value):
        return bottom - (bottom - top) * value / ticks[-1]

    for tick in ticks:
        page.line(left, y(tick), right, y(tick))
        page.text(left - 8, y(tick) + 4, f"{tick:g}", 11, "end", "#666666")
    for number in numbers:
        page.text(x(number), bottom + 18, str(number), 11, "middle", "#666666")
    page.text((left + right) / 2, bottom + 38, across, 12, "middle", "#666666")
    for i, (label, points) in enumerate(series.items()):
        colour = SPARE[i % len(SPARE)]
        page.parts.append(f"<polyline fill='none' stroke='{colour}' stroke-width='2.5' points='" +
                          " ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in points) + "'/>")
        for number, value in points:
            page.parts.append(f"<circle cx='{x(number):.1f}' cy='{y(value):.1f}' r='3.5' fill='{colour}'/>")
        page.text(right + 12, y(points[-1][1]) + 4, label, 12, colour=colour, weight="600")
    return page.end()
