"""what_took_longest.py -- where the time of a build and of its tests went.

    python3 tools/what_took_longest.py build/quick            the ten longest tests and files
    python3 tools/what_took_longest.py build/quick --table    each test program: to build, to run

Reads what Ninja and CTest write down in a folder that they were run in. A time is that of one job: other
jobs beside it make it longer.
"""

import collections
import pathlib
import re
import sys


def compiled(folder):
    """Seconds of each output of the build that is there: {path: seconds}."""
    result = {}
    for line in (folder / ".ninja_log").read_text().splitlines()[1:]:
        start, end, _, output, _ = line.split("\t")
        if not output.startswith("/"):  # some outputs are named twice
            result[output] = (int(end) - int(start)) / 1000
    return result


def tested(folder):
    """Seconds of each test of the last run: {name: seconds}."""
    result, name = {}, None
    log = folder / "Testing/Temporary/LastTest.log"
    for line in log.read_text(errors="replace").splitlines() if log.exists() else []:
        if match := re.match(r"\d+/\d+ Test: (.*)", line):
            name = match[1]
        elif match := re.match(r"Test time = +([\d.]+) sec", line):
            result[name] = float(match[1])
    return result


def print_longest(heading, seconds, number=10):
    print(f"\n{heading}, seconds:")
    for name, time in sorted(seconds.items(), key=lambda item: -item[1])[:number]:
        print(f"{time:8.1f}  {name}")


def print_table(built, run):
    to_build, to_run, number = (collections.defaultdict(float) for _ in range(3))
    for output, seconds in built.items():
        match = re.search(r"(\w+)\.dir/", output) or re.search(r"(\w+)$", output)
        program = match[1] if match else "other"
        to_build[re.sub(r"_test$|_objects$", "", program)] += seconds
    for name, seconds in run.items():
        group = re.split(r"[:.]", name)[0]
        to_run[group] += seconds
        number[group] += 1
    print("| program | tests | seconds to build | to run |\n| --- | --- | --- | --- |")
    for group in sorted(to_run, key=lambda group: -to_build[group] - to_run[group]):
        print(f"| {group} | {number[group]:.0f} | {to_build.pop(group, 0):.0f} | {to_run[group]:.0f} |")
    rest = sum(to_build.values())
    print(f"| the rest of the build | | {rest:.0f} | |")


def main(folder, *options):
    folder = pathlib.Path(folder)
    if not (folder / ".ninja_log").exists():
        return 0  # it did not come to a build
    built, run = compiled(folder), tested(folder)
    if "--table" in options:
        print_table(built, run)
    else:
        print_longest("The longest to compile", built)
        print_longest("The longest tests", run)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
