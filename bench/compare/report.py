#!/usr/bin/env python3
"""What did the comparison say?  compare.json -> tables in Markdown, pictures, and the goals.

    report.py compare.json [--markdown FILE] [--svg FILE] [--small-svg FILE] [--size BYTES]
    report.py compare.md --small-svg FILE

Prints the goals and whether they are met; writes the rest where asked. The small picture is the
README's; the tables are enough to draw it. Only the standard library.
"""

import argparse
import json
import math
import re
from html import escape

# A metric of the picture, and what it is in words.
PICTURE = {
    "pair": "alloc and free of one object",
    "lifo": "1000 allocated, freed in reverse",
    "fifo": "1000 allocated, freed in order",
    "aged_10k": "the same on an aged heap of 10,000",
    "churn_10k": "replace a random one of 10,000",
    "burst_10k": "replace random ones, 1 to 100 at a time",
    "queue": "a queue of 100,000",
    "million": "a million, freed at random",
    "cold": "the same from cold memory",
    "churn_1m": "replace a random one of a million",
    "burst_1m": "the same, 1 to 100 at a time",
    "walk": "walk a million on an aged heap",
}
# The small picture, and how its allocators are called in full.
SMALL_PICTURE = ("pair", "lifo", "churn_10k", "queue", "million", "churn_1m")
NAMES = {"misuse": "slab_allocator", "none": "without checks", "boost": "Boost.Pool", "pmr": "std::pmr pool",
         "malloc": "glibc", "mimalloc": "mimalloc", "jemalloc": "jemalloc", "tcmalloc": "tcmalloc"}
OURS = ("none", "misuse")
BARE = ("limit", "limit2", "bump")
PICTURED = BARE + OURS + ("boost", "foonathan", "pmr", "malloc", "mimalloc", "jemalloc",
                          "tcmalloc", "tbb", "original")
FREE_LISTS = ("boost", "eastl")  # count as limit does where nothing is checked or given back
GENERAL = ("malloc", "mimalloc", "mimalloc-src", "jemalloc", "tcmalloc", "tbb", "snmalloc", "rpmalloc")
RIVALS = FREE_LISTS + GENERAL + ("foonathan", "pmr", "original", "plf-hive")

# Level none, ratio to limit: at 64 bytes, and in the geometric mean over the sizes.
GOALS = {"pair": 1.05, "lifo": 1.25, "fifo": 1.25, "aged_10k": 0.6, "churn_10k": 1.0,
         "burst_10k": 1.0, "churn_1m": 0.9, "burst_1m": 0.9, "million": 0.06}


class Figures:
    def __init__(self, document):
        self.document = document
        self.by_key = {(f["size"], f["metric"], f["allocator"]): f for f in document["figures"]}
        self.sizes = sorted({f["size"] for f in document["figures"]})
        present = {f["metric"] for f in document["figures"]}
        self.metrics = [m for m in document["metrics"] if m in present]
        present = {f["allocator"] for f in document["figures"]}
        self.allocators = [a for a in document["allocators"] if a in present]

    def get(self, size, metric, allocator, field="ns"):
        figure = self.by_key.get((size, metric, allocator))
        return figure[field] if figure else None

    def between(self, size, metric, allocator, base):
        """How many times the nanoseconds of base."""
        one, other = self.get(size, metric, allocator), self.get(size, metric, base)
        return one / other if one and other else None


def document_of(tables):
    """What the Markdown of markdown() was made of, but for what it does not tell."""
    processor, compiler = tables.splitlines()[0].split("; ")[:2]
    figures, metrics = [], []
    for size, table in re.findall(r"^### (\d+) bytes: .*\n\n((?:\|.*\n)+)", tables, re.M):
        head, _, *rows = [re.split(r" *\| *", row.strip("| ")) for row in table.splitlines()]
        metrics = head[1:]
        figures += [{"size": int(size), "metric": metric, "allocator": row[0], "ns": float(ns)}
                    for row in rows for metric, ns in zip(metrics, row[1:]) if ns != "-"]
    allocators = list(dict.fromkeys(figure["allocator"] for figure in figures))
    return {"processor": processor, "compiler": compiler, "figures": figures, "metrics": metrics,
            "allocators": allocators}


def geometric_mean(values):
    values = [value for value in values if value]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def number(value):
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


# ---- Markdown -------------------------------------------------------------------------------------


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- " + "| ---: " * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def markdown(figures):
    document = figures.document
    parts = [f"{document['processor']}; {document['compiler']}; "
             f"medians of {document['repetitions']} interleaved repetitions.\n"]
    for size in figures.sizes:
        rows = []
        for allocator in figures.allocators:
            cells = [number(figures.get(size, metric, allocator)) for metric in figures.metrics]
            if any(cell != "-" for cell in cells):
                rows.append([allocator] + cells)
        parts.append(f"### {size} bytes: nanoseconds an operation\n")
        parts.append(table(["allocator"] + figures.metrics, rows))
    rows = []
    for allocator in figures.allocators:
        cells = [number(geometric_mean(figures.get(size, metric, allocator, "ratio")
                                       for size in figures.sizes)) for metric in figures.metrics]
        rows.append([allocator] + cells)
    sizes = ", ".join(map(str, figures.sizes))
    parts.append(f"### Ratio to limit, geometric mean over {sizes} bytes\n")
    parts.append(table(["allocator"] + figures.metrics, rows))
    return "\n".join(parts)


# ---- Goals ----------------------------------------------------------------------------------------


def goals(figures):
    """Yields (what, reached, goal) of everything that the figures can tell."""
    size = 64 if 64 in figures.sizes else figures.sizes[0]

    def mean(metric, allocator, base):
        return geometric_mean(figures.between(s, metric, allocator, base) for s in figures.sizes)

    for metric, goal in GOALS.items():
        yield f"none: {metric} to limit, {size} bytes", figures.get(size, metric, "none",
                                                                    "ratio"), goal
        yield f"none: {metric} to limit, all sizes", geometric_mean(
            figures.get(s, metric, "none", "ratio") for s in figures.sizes), goal
    yield f"none: cold to bump, {size} bytes", figures.between(size, "cold", "none", "bump"), 1.0
    for ours, rivals in (("none", RIVALS), ("misuse", GENERAL)):
        for metric in figures.metrics:
            counts_as_limit = FREE_LISTS if metric in ("pair", "empty", "lifo", "fifo") else ()
            of = {r: mean(metric, ours, r) for r in rivals if r not in counts_as_limit}
            of = {r: ratio for r, ratio in of.items() if ratio}
            if of:
                nearest = max(of, key=of.get)
                yield f"{ours}: {metric} to the best rival ({nearest})", of[nearest], 1.0
    ratios = [mean(metric, "misuse", "none") for metric in figures.metrics]
    for metric, ratio in zip(figures.metrics, ratios):
        yield f"misuse: {metric} to none", ratio, 2.5
    yield "misuse: to none, geometric mean of all workloads", geometric_mean(ratios), 1.5
    for level in OURS:
        yield f"{level}: empty to pair", geometric_mean(
            (figures.get(s, "empty", level) or 0) / figures.get(s, "pair", level)
            for s in figures.sizes if figures.get(s, "pair", level)), 1.2
        yield f"{level}: 64k to 4k, all workloads", geometric_mean(
            mean(metric, f"{level}-64k", f"{level}-4k") for metric in figures.metrics), 1.1
        for row in ("small-flat", "small-radix", "small-hash", "large-flat", "large-radix",
                    "large-hash", "frames"):
            yield f"{level}: {row} to mask, all workloads", geometric_mean(
                mean(metric, f"{level}-{row}", level) for metric in figures.metrics), (
                    3.0 if row.endswith("hash") else 1.5)


def print_goals(figures):
    print("goals (reached, at most)")
    for what, reached, goal in goals(figures):
        if reached is not None:
            mark = "  " if reached <= goal else "! "
            print(f"  {mark}{what:62} {reached:8.2f} {goal:6.2f}")


# ---- The picture ----------------------------------------------------------------------------------

STYLE = """
  text { font: 11px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 12px } .head { font-weight: 600; font-size: 15px }
  .note { fill: #57606a }
  .none { fill: #0a7d4f } .misuse { fill: #2da471 } .bare { fill: #c8ccd1 } .rival { fill: #8c959f }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note { fill: #9198a1 }
    .none { fill: #3fb950 } .misuse { fill: #2a7d3c } .bare { fill: #3d444d } .rival { fill: #6e7681 }
  }
"""
COLUMNS, WIDTH, LINE = 3, 300, 15


def bar_class(allocator):
    if allocator in OURS:
        return allocator
    return "bare" if allocator in BARE else "rival"


def name_of(allocator, pictured):
    return NAMES[allocator] if pictured is NAMES else allocator


def bold(allocator):
    return ' class="title"' if allocator == "misuse" else ""


def panel(figures, size, metric, x, y, pictured=PICTURED, name_width=75):
    """Bars in nanoseconds, the fastest first; what would leave the panel is cut, and has a tip."""
    values = [(figures.get(size, metric, a), a) for a in pictured]
    values = sorted((ns, a) for ns, a in values if ns is not None)
    if not values:
        return []
    room = WIDTH - name_width - 45
    full = min(values[-1][0], 4 * values[len(values) // 2][0])
    out = [f'<text class="title" x="{x}" y="{y}">{escape(PICTURE[metric])}</text>']
    for i, (ns, allocator) in enumerate(values):
        top = y + 8 + i * LINE
        length = max(1.0, room * min(ns, full) / full)
        tip = 5 if ns > full else 0
        points = [(x + name_width, top), (x + name_width + length, top), (x + name_width + length + tip, top + 5.5),
                  (x + name_width + length, top + 11), (x + name_width, top + 11)]
        corners = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        out.append(f'<text x="{x + name_width - 5}" y="{top + 10}" text-anchor="end"{bold(allocator)}>{name_of(allocator, pictured)}</text>'
                   f'<polygon class="{bar_class(allocator)}" points="{corners}"/>'
                   f'<text class="note" x="{x + name_width + length + tip + 4:.1f}" y="{top + 10}">'
                   f'{number(ns)}</text>')
    return out


def svg(figures, size):
    metrics = [metric for metric in PICTURE if metric in figures.metrics]
    height = LINE * sum(a in figures.allocators for a in PICTURED) + 40
    rows = math.ceil(len(metrics) / COLUMNS)
    width, total = COLUMNS * (WIDTH + 10) + 10, rows * height + 70
    head = f"Nanoseconds an operation, objects of {size} bytes"
    note = (f"Green: this library, without checks (none) and with (misuse, the default). Pale: bare "
            f"free lists. {figures.document['processor']}; {figures.document['compiler']}.")
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" '
           f'width="{width}" height="{total}" role="img" aria-label="{escape(head)}">',
           f"<style>{STYLE}</style>",
           f'<text class="head" x="10" y="22">{escape(head)}</text>',
           f'<text class="note" x="10" y="40">{escape(note)}</text>']
    for i, metric in enumerate(metrics):
        out += panel(figures, size, metric, 10 + i % COLUMNS * (WIDTH + 10),
                     66 + i // COLUMNS * height)
    return "\n".join(out + ["</svg>", ""])


def small_svg(figures, size):
    rows = math.ceil(len(SMALL_PICTURE) / COLUMNS)
    height = LINE * len(NAMES) + 32
    width, total = COLUMNS * (WIDTH + 10) + 10, rows * height + 58
    head = f"Nanoseconds an operation, objects of {size} bytes: shorter is better"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" '
           f'width="{width}" height="{total}" role="img" aria-label="{escape(head)}">',
           f"<style>{STYLE}</style>",
           f'<text class="head" x="10" y="22">{escape(head)}</text>',
           f'<text class="note" x="10" y="40">Green: this library, as it comes and without its checks. '
           f'{escape(figures.document["processor"])}; {escape(figures.document["compiler"])}.</text>']
    for i, metric in enumerate(SMALL_PICTURE):
        out += panel(figures, size, metric, 10 + i % COLUMNS * (WIDTH + 10),
                     66 + i // COLUMNS * height, NAMES, 100)
    return "\n".join(out + ["</svg>", ""])


def read(path):
    with open(path, encoding="utf-8") as file:
        return document_of(file.read()) if path.endswith(".md") else json.load(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("json")
    parser.add_argument("--markdown", help="write the tables there")
    parser.add_argument("--svg", help="draw the picture there")
    parser.add_argument("--small-svg", help="draw the README's picture there")
    parser.add_argument("--size", type=int, default=64, help="object size of the picture")
    arguments = parser.parse_args()
    figures = Figures(read(arguments.json))
    if arguments.markdown:
        with open(arguments.markdown, "w", encoding="utf-8") as file:
            file.write(markdown(figures))
    if arguments.svg:
        with open(arguments.svg, "w", encoding="utf-8") as file:
            file.write(svg(figures, arguments.size))
    if arguments.small_svg:
        with open(arguments.small_svg, "w", encoding="utf-8") as file:
            file.write(small_svg(figures, arguments.size))
    if not arguments.json.endswith(".md"):
        print_goals(figures)


if __name__ == "__main__":
    main()
