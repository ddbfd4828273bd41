#!/usr/bin/env python3
"""How many instructions does a call take?  instructions, run under callgrind -> a table.

    count.py PROGRAM [--write FILE] [--check FILE]

One line for each row and level: an inlined pair, an alloc, a free, in instructions without the
loop around them, and the functions that each of them calls (0: all inlined). --check compares with
a table that --write wrote, and fails where a number differs, or a line is missing. With --check or
--write, functions of the program that divide are a failure, too. Only the standard library.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

FEW, MANY = 8, 16
PROBES = ("pair", "alloc", "free")
TITLE = re.compile(r"^desc: Trigger: Client Request: (\S+) (\S+) (\d+)$", re.MULTILINE)
TOTAL = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)
CALLS = re.compile(r"^calls=(\d+)", re.MULTILINE)


def count(program):
    """{(subject, probe, calls): (instructions, calls of functions)}"""
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["valgrind", "--quiet", "--tool=callgrind",
                        f"--callgrind-out-file={directory}/out", program],
                       check=True, stdout=subprocess.DEVNULL)
        for file in pathlib.Path(directory).iterdir():
            text = file.read_text()
            title = TITLE.search(text)
            if title:
                subject, probe, calls = title.groups()
                functions = sum(map(int, CALLS.findall(text)))
                found[subject, probe, int(calls)] = (int(TOTAL.search(text).group(1)), functions)
    return found


def exact(value):
    return f"{value:g}"


def table(program):
    found = count(program)

    def per_call(subject, probe, what):
        return (found[subject, probe, MANY][what] - found[subject, probe, FEW][what]) / (MANY - FEW)

    subjects = []
    for subject, _, _ in found:
        if subject not in subjects and subject != "nothing":
            subjects.append(subject)
    order = {"limit": 0, "none": 1, "misuse": 2}
    subjects.sort(key=lambda s: (order.get(s.split("-")[0], 9), s))
    lines = [f"{'':20}" + "".join(f"{probe:>8}" for probe in PROBES) + "   functions called"]
    for subject in subjects:
        instructions = [per_call(subject, p, 0) - per_call("nothing", p, 0) for p in PROBES]
        calls = [per_call(subject, probe, 1) for probe in PROBES]
        lines.append(f"{subject:20}" + "".join(f"{exact(i):>8}" for i in instructions) +
                     "   " + " ".join(exact(c) for c in calls))
    return "\n".join(lines) + "\n"


def dividing(program):
    """The functions of the probes that have a division."""
    listing = subprocess.run(["objdump", "-d", "-C", "--no-show-raw-insn", program], check=True,
                             capture_output=True, text=True).stdout
    function, found = "", set()
    for line in listing.splitlines():
        if line.endswith(">:"):
            function = line
        elif "Probes" in function and re.search(r"\ti?div[bwlq]?\s", line):
            found.add(function)
    return sorted(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--write", help="write the table there")
    parser.add_argument("--check", help="compare with the table there")
    arguments = parser.parse_args()
    result = table(arguments.program)
    print(result, end="")
    if arguments.write:
        pathlib.Path(arguments.write).write_text(result)
    failures = []
    if arguments.write or arguments.check:
        failures += [f"divides: {function}" for function in dividing(arguments.program)]
    if arguments.check:
        known = pathlib.Path(arguments.check).read_text().splitlines()
        counted = result.splitlines()
        failures += [f"counted: {line}" for line in counted if line not in known]
        failures += [f"known:   {line}" for line in known if line not in counted]
    print("\n".join(failures), end="\n" if failures else "", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
