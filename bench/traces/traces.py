#!/usr/bin/env python3
"""traces.py -- a malloc of ours against others, on the calls of real programs.

    traces.py <folder of libtrace_record.so, trace_replay and libslab_malloc.so> [--quick] [--rounds 5]
              [--also name=library]

Records the programs of examples/malloc/programs.py, takes of each the process with the most calls,
and replays those with each allocator in turn, in a process of its own: nanoseconds of processor time
a call (the median of the rounds, which are interleaved), bytes at the peak and after everything was
freed, beyond what the process had before. The last line are geometric means against the best, which
no library of --also is.
"""

import argparse
import glob
import importlib.util
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
DEBIAN = "/usr/lib/*-linux-gnu/"
OTHERS = {
    "glibc": None,
    "mimalloc": "libmimalloc.so.2*",
    "jemalloc": "libjemalloc.so.2",
    "tcmalloc": "libtcmalloc_minimal.so.4",
}


def load_programs():
    path = HERE.parents[1] / "examples" / "malloc" / "programs.py"
    spec = importlib.util.spec_from_file_location("programs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record(programs, name, tools, quick, folder):
    """The converted trace of the process with the most calls."""
    os.environ["TRACE_FOLDER"] = str(folder)
    programs.measure(name, tools / "libtrace_record.so", quick)
    largest = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    converted = folder.parent / f"{name}.trace"
    subprocess.run([tools / "trace_replay", "convert", largest, converted], check=True)
    shutil.rmtree(folder)
    return converted


def replay(tools, trace, library):
    environment = dict(os.environ)
    if library is not None:
        environment["LD_PRELOAD"] = str(library)
    command = [tools / "trace_replay", "run", trace]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    calls, time, peak, after = output.stdout.split()
    return int(calls), float(time), int(peak), int(after)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tools", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only")
    parser.add_argument("--also", action="append", default=[], help="name=library: one more")
    options = parser.parse_args()
    programs, tools = load_programs(), options.tools.resolve()
    allocators = {"this": tools / "libslab_malloc.so"}
    for name, pattern in OTHERS.items():
        found = sorted(glob.glob(DEBIAN + pattern)) if pattern else [None]
        if found:
            allocators[name] = found[0]
        else:
            print(f"{name} is not installed")
    allocators.update(programs.named_library(also) for also in options.also)
    shares = {name: ([], [], []) for name in allocators}
    print(f"{'':10}{'calls':>9}" + "".join(f"{name:>24}" for name in allocators))
    print(f"{'':19}" + "   ns/call   peak after" * len(allocators))
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only.split(",") if options.only else programs.PROGRAMS:
            if shutil.which(programs.NEEDS.get(name, name)) is None:
                print(f"{name:10}  not installed: skipped")
                continue
            recorded = pathlib.Path(folder) / "recorded"
            recorded.mkdir()
            trace = record(programs, name, tools, options.quick, recorded)
            runs = {allocator: [] for allocator in allocators}
            for _ in range(options.rounds):
                for allocator, library in allocators.items():
                    runs[allocator].append(replay(tools, trace, library))
            middle = {
                allocator: [statistics.median(column) for column in zip(*rows)]
                for allocator, rows in runs.items()
            }
            row = f"{name:10}{int(middle['this'][0]):9}"
            for allocator, (_, time, peak, after) in middle.items():
                row += f"{time:10.1f}{peak / 2**20:7.1f}{after / 2**20:6.1f}M"
                for column, value in enumerate((time, peak, after)):
                    shares[allocator][column].append(max(value, 1.0))
            print(row, flush=True)
            trace.unlink()
    named = [columns for name, columns in shares.items() if name == "this" or name in OTHERS]
    best = [[min(values) for values in zip(*(columns[c] for columns in named))] for c in range(3)]
    row = f"{'x the best':19}"
    for columns in shares.values():
        for column, width in ((0, 10), (1, 7), (2, 7)):
            logs = [math.log(v / b) for v, b in zip(columns[column], best[column])]
            row += f"{math.exp(statistics.mean(logs)):{width}.2f}" if logs else " " * width
    print(row)


if __name__ == "__main__":
    sys.exit(main())
