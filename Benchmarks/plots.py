"""Draws the results of compare.py as SVG, with nothing but the standard library."""

import html
import math

COLOURS = {
    "millrace": "#1f5fa8", "millrace-zstd": "#5b9bd5", "millrace-none": "#9cc3e6",
    "millrace-owned": "#c5d9ee", "bare": "#7f7f7f", "rocksdb": "#c55a11", "lmdb": "#548235",
    "sqlite": "#bf9000",
}
LIMIT = "#b00020"
INK, FAINT = "#222222", "#d9d9d9"
WIDTH = 960
BAR = 17


class Drawing:
    def __init__(self, height, title, note):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" font-family="sans-serif">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>']
        self.text(20, 30, title, size=18, weight="bold")
        self.text(20, 50, note, colour="#666666")

    def text(self, x, y, words, size=11, anchor="start", colour=INK, weight="normal"):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}" font-weight="{weight}">{html.escape(words)}</text>')

    def box(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" '
                          f'height="{height}" fill="{colour}"/>')

    def line(self, points, colour, width=1.0, dashes=""):
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" '
                          f'stroke-width="{width}" stroke-dasharray="{dashes}"/>')

    def dot(self, x, y, colour):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')

    def save(self, path):
        path.write_text("\n".join(self.parts) + "\n</svg>\n")


def short(value):
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def bars(drawing, x, y, width, title, values, limit=None):
    """Horizontal bars of (name, value), and a dashed line where the machine's limit is."""
    drawing.text(x, y, title, weight="bold")
    left, room = x + 92, width - 92 - 48
    largest = max([value for _, value in values] + [limit or 0])
    top = y + 8
    for row, (name, value) in enumerate(values):
        place = top + row * BAR
        drawing.text(left - 5, place + 11, name, anchor="end")
        drawing.box(left, place, value / largest * room, BAR - 4, COLOURS[name])
        drawing.text(left + value / largest * room + 4, place + 11, short(value))
    if limit:
        at = left + limit / largest * room
        bottom = top + len(values) * BAR
        drawing.line([(at, top - 2), (at, bottom)], LIMIT, dashes="3,2")
        drawing.text(at, bottom + 9, f"limit {short(limit)}", size=9, anchor="middle", colour=LIMIT)


def lines(drawing, x, y, width, height, title, labels, series, logarithmic=False):
    """Lines of {name: (values, colour)} over labels; each line is named at its end."""
    drawing.text(x, y, title, weight="bold")
    left, right, top, bottom = x + 40, x + width - 80, y + 12, y + height - 18
    values = [value for line, _ in series.values() for value in line]
    low, high = (min(values), max(values)) if logarithmic else (0, max(values) * 1.05)

    def height_of(value):
        if logarithmic:
            span = math.log(high / low) or 1
            return bottom - math.log(value / low) / span * (bottom - top)
        return bottom - (value - low) / ((high - low) or 1) * (bottom - top)

    for mark in marks(low, high, logarithmic):
        drawing.line([(left, height_of(mark)), (right, height_of(mark))], FAINT)
        drawing.text(left - 5, height_of(mark) + 4, short(mark), size=9, anchor="end")
    step = (right - left) / max(1, len(labels) - 1)
    for place, label in enumerate(labels):
        drawing.text(left + place * step, bottom + 14, label, size=9, anchor="middle")
    taken = []
    for name, (line, colour) in sorted(series.items(), key=lambda item: -item[1][0][-1]):
        points = [(left + place * step, height_of(value)) for place, value in enumerate(line)]
        drawing.line(points, colour, 2)
        for point in points:
            drawing.dot(*point, colour)
        # Names that would lie on each other move down.
        at = max([points[-1][1] + 3] + [other + 11 for other in taken[-1:]])
        taken.append(at)
        drawing.text(right + 6, at, name, size=9, colour=colour)


def marks(low, high, logarithmic):
    if logarithmic:
        exponents = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
        return [10.0 ** exponent for exponent in exponents] or [low, high]
    step = 10.0 ** math.floor(math.log10(high))
    step /= 4 if high / step < 2 else 2 if high / step < 4 else 1
    return [step * turn for turn in range(int(high / step) + 1)]


def note(results):
    machine = results["machine"]
    return (f"{results['events']:,} events from {results['devices']:,} devices; medians of "
            f"{results['runs']}; {machine['processor']}, {machine['cores']} cores, "
            f"Linux {machine['kernel']}")


def allowed(results, work):
    """What the machine would allow of a workload if nothing else took time."""
    limits, sample = results["limits"], results["engines"]["millrace"]["w1a"]
    size = sample["mb_s"] * 1e6 / sample["ev_s"]
    return {
        ("w1a", "ev_s"): limits["lz4_compress"] / size,
        ("w1a1", "ev_s"): limits["lz4_compress"] / size,
        ("w2", "ev_s"): limits["lz4_decompress"] / size,
        ("w1c", "ev_s"): limits["syncs"],
        ("w4", "enq_sync1_ops"): limits["syncs"],
        ("w4", "rcv_sync1_ops"): limits["syncs"],
    }.get(work)


def rates(results, works, path):
    panels = []
    for work, field, label in works:
        values = [(name, found[work][field]) for name, found in results["engines"].items()
                  if field in found.get(work, {})]
        panels.append((label, values, allowed(results, (work, field))))
    rows = [panels[at:at + 2] for at in range(0, len(panels), 2)]
    heights = [max(len(values) for _, values, _ in row) * BAR + 42 for row in rows]
    drawing = Drawing(70 + sum(heights), "Rates beside other engines and the machine's limits",
                      note(results))
    y = 80
    for row, height in zip(rows, heights):
        for column, (label, values, limit) in enumerate(row):
            bars(drawing, 20 + column * 475, y, 450, label, values, limit)
        y += height
    drawing.save(path)


def latencies(results, path):
    panels = [("w1c", "append, a sync each"), ("w1b", "append, a sync per 1,000"),
              ("w3", "seek and read 100")]
    fields = ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"]
    drawing = Drawing(330, "How long an operation takes, in µs", note(results))
    for column, (work, label) in enumerate(panels):
        series = {
            name: ([found[work][field] for field in fields], COLOURS[name])
            for name, found in results["engines"].items() if "max_us" in found.get(work, {})}
        lines(drawing, 20 + column * 313, 85, 318, 230, label,
              ["50 %", "90 %", "99 %", "99.9 %", "all"], series, logarithmic=True)
    drawing.save(path)


def sizes(results, path):
    values = [(name, found["w1a"]["disk_share"]) for name, found in results["engines"].items()]
    drawing = Drawing(100 + len(values) * BAR, "Bytes on disk, of the bytes of the records",
                      note(results))
    bars(drawing, 20, 75, 700, "after appending everything and closing", values)
    drawing.save(path)


def growth(results, path):
    drawing = Drawing(480, "What changes as it grows", "LZ4; the other things as they are: "
                      f"{results['events']:,} events, 10,000 devices, 1 partition, 1 thread")
    for column, (axis, points) in enumerate(results["growth"].items()):
        labels = [short(point[axis]) for point in points]

        def series(names):
            return {name: ([point[field] * scale for point in points], colour)
                    for name, field, scale, colour in names}

        x = 20 + column * 235
        lines(drawing, x, 85, 255, 180, f"{axis}: events/s", labels, series([
            ("append", "append_ev_s", 1, COLOURS["millrace"]),
            ("replay", "replay_ev_s", 1, COLOURS["rocksdb"])]))
        lines(drawing, x, 285, 255, 180, f"{axis}: ms", labels, series([
            ("open", "open_ms", 1, COLOURS["lmdb"]),
            ("seek p50", "p50_us", 1e-3, COLOURS["sqlite"])]))
    drawing.save(path)


def write(results, works, folder):
    rates(results, works, folder / "rates.svg")
    latencies(results, folder / "latencies.svg")
    sizes(results, folder / "sizes.svg")
    growth(results, folder / "growth.svg")
