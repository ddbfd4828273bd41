#!/usr/bin/env python3
"""report.py -- which lines, branches and conditions of include/ the tests reach.

    report.py --root ROOT --profiles DIRECTORY [--floor core] PROGRAM...

The programs are tests that clang 19 built with -fprofile-instr-generate -fcoverage-mapping
-fcoverage-mcdc. Runs each, with fewer random operations than else, and prints one line a header, and
each thing that was missed. What ended in a child process counts, too.

What counts is the source: a line, a branch or a condition of a template is reached where one of its
instantiations reached it. A branch has two ways, each of which counts. A condition of a decision is
reached (MC/DC) where, in one instantiation, it alone turned the decision. What is a constant in an
instantiation is no branch there, and what the compiler wrote itself (= default) has none: clang
does not count in it. What is consteval the compiler runs, and no program.

A line with the comment "not reached: ..." is an exclusion: it is not counted, but printed. Where
more is missed than --missed, or more than five lines are excluded, the program ends with 1.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

EXCLUDED = re.compile(r"// not reached: \S")
MOST_EXCLUDED = 5
VARIABLES = {"SLAB_ALLOCATOR_OPERATIONS": "100000", "SLAB_ALLOCATOR_LENGTH": "9",
             "ASAN_OPTIONS": "halt_on_error=0:detect_leaks=0:exitcode=0"}


class File:
    """What one header has, and what of it was reached."""

    def __init__(self, path):
        self.source = path.read_text(encoding="utf-8").splitlines()
        self.excluded = {number for number, line in enumerate(self.source, 1)
                         if EXCLUDED.search(line)}
        self.lines = {}        # line -> reached
        self.branches = {}     # (line, column, way) -> reached
        self.conditions = {}   # (line, column) -> reached

    @staticmethod
    def reach(table, key, reached):
        table[key] = table.get(key, False) or reached

    def missed(self):
        """(line, what)"""
        for line, reached in self.lines.items():
            if not reached:
                yield line, "line"
        for (line, column, way), reached in self.branches.items():
            if not reached:
                yield line, f"column {column} is never {way}"
        for (line, column), reached in self.conditions.items():
            if not reached:
                yield line, f"column {column} alone never decides"

    def count(self, table):
        kept = [reached for key, reached in table.items()
                if (key if isinstance(key, int) else key[0]) not in self.excluded]
        return sum(kept), len(kept)


def run(arguments):
    shutil.rmtree(arguments.profiles, ignore_errors=True)
    arguments.profiles.mkdir(parents=True)
    for program in arguments.programs:
        variables = dict(os.environ, **VARIABLES)
        variables["LLVM_PROFILE_FILE"] = str(
            arguments.profiles / f"{pathlib.Path(program).stem}-%m.profraw")  # %m: adds up
        commands = [[program]]
        if program == arguments.memcheck:
            commands.append(["valgrind", "--quiet", program, "memcheck"])
        for command in commands:
            done = subprocess.run(command, env=variables, check=False, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace")
            if done.returncode != 0:
                print("\n".join(done.stdout.splitlines()[-40:]))
                sys.exit(f"{' '.join(command)} fails")


def exported(arguments, profile, program):
    # One program at a time: a function that one only knows would hide what another one has of it.
    command = [arguments.llvm_cov, "export", "-instr-profile", profile,
               "-ignore-filename-regex", "(^/usr/|/tests/)", program]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout


def read(text, files):
    for function in json.loads(text)["data"][0]["functions"]:
        names = function["filenames"]
        of_file = collections.defaultdict(list)
        if any(region[:2] == [1, 1] for region in function["regions"]):
            continue  # clang errs: whole files are no code of one function
        for region in function["regions"]:
            of_file[region[5]].append(region)
        for file_id, regions in of_file.items():
            file = files.get(names[file_id])
            if file is not None and not is_consteval(file.source, regions[0][0]):
                read_lines(file, regions)
        branches = set()
        for line, column, _, _, true, false, file_id, *_ in function["branches"]:
            file = files.get(names[file_id])
            if file is not None and not file.source[line - 1].rstrip().endswith("= default;"):
                branches.add((names[file_id], line, column))
                file.reach(file.branches, (line, column, "true"), true > 0)
                file.reach(file.branches, (line, column, "false"), false > 0)
        for *place, file_id, _, reached in function["mcdc_records"]:
            file = files.get(names[file_id])
            if file is None:
                continue
            conditions = conditions_in(file.source, *place)
            assert len(conditions) == len(reached), f"{names[file_id]}:{place}: {conditions}"
            for (line, column), one in zip(conditions, reached):
                if (names[file_id], line, column) in branches:  # else a constant here
                    file.reach(file.conditions, (line, column), one)


def is_consteval(source, line):
    """Does only the compiler run the function whose body starts in this line?"""
    head = source[line - 1]
    while line > 1 and not source[line - 2].rstrip().endswith((";", "{", "}", ":")):
        line -= 1
        head = source[line - 1] + head
    return "consteval " in head


def read_lines(file, regions):
    """A line is reached where the code that it starts with was, or code that starts in it."""
    code, skipped, gap = 0, 2, 3
    starts = collections.defaultdict(list)
    for region in regions:
        if region[7] == code:
            starts[region[0]].append(region[4] > 0)
    last = max(region[2] for region in regions)
    for line in range(min(region[0] for region in regions), last + 1):
        source = file.source[line - 1]
        here = (line, len(source) - len(source.lstrip()) + 1)
        around = [region for region in regions if region[7] not in (4, 5, 6) and
                  tuple(region[:2]) <= here < tuple(region[2:4])]
        counts = list(starts[line])
        if around and not source.lstrip().startswith("//") and source.strip() not in ("", "}"):
            inner = max(around, key=lambda region: (region[:2], [-region[2], -region[3]]))
            if inner[7] == skipped and inner[0] == line and source.lstrip().startswith("if constexpr"):
                around.remove(inner)  # its condition alone: what is left out starts later
                inner = max(around, key=lambda region: (region[:2], [-region[2], -region[3]]))
            if inner[7] == code:
                counts.append(inner[4] > 0)
            elif inner[7] == gap and not counts:
                continue
        if counts:
            file.reach(file.lines, line, any(counts))


def conditions_in(source, line, column, end_line, end_column):
    """Where the conditions of a decision start: (line, column), in their order."""
    text, places = [], []
    for number in range(line, end_line + 1):
        start = column if number == line else 1
        end = end_column if number == end_line else len(source[number - 1]) + 1
        for at in range(start, end):
            text.append(source[number - 1][at - 1])
            places.append((number, at))
        text.append("\n")
        places.append((number, end))
    text = re.sub(r"//.*", lambda match: " " * len(match[0]), "".join(text))

    def split(start, end):
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        depth, pieces, begin, at = 0, [], start, start
        while at < end:
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[at], 0)
            if depth == 0 and text[at:at + 2] in ("&&", "||"):
                pieces.append((begin, at))
                begin = at + 2
                at += 1
            at += 1
        if pieces:
            for piece in [*pieces, (begin, end)]:
                yield from split(*piece)
        elif text[start] == "(" and closing(start) == end - 1:
            yield from split(start + 1, end - 1)
        elif text.startswith("!(", start) and closing(start + 1) == end - 1 and \
                re.search(r"&&|\|\|", text[start:end]):
            yield from split(start + 2, end - 1)
        else:
            yield places[start]

    def closing(start):
        depth = 0
        for at in range(start, len(text)):
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            if depth == 0:
                return at
        return None

    return list(split(0, len(text)))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--profiles", type=pathlib.Path, required=True)
    parser.add_argument("--floor", default="", help="the headers of this floor alone")
    parser.add_argument("--llvm-cov", default="llvm-cov-19")
    parser.add_argument("--llvm-profdata", default="llvm-profdata-19")
    parser.add_argument("--no-run", action="store_true", help="what was run before is read again")
    parser.add_argument("--missed", type=int, default=0, help="as many are no failure")
    parser.add_argument("--memcheck", help="the one that is run under Valgrind's memcheck, too")
    parser.add_argument("programs", nargs="+")
    arguments = parser.parse_args()

    if not arguments.no_run:
        run(arguments)
    profile = str(arguments.profiles / "all.profdata")
    raw = [str(path) for path in sorted(arguments.profiles.glob("*.profraw"))]
    subprocess.run([arguments.llvm_profdata, "merge", "-o", profile, *raw], check=True)

    include = arguments.root / "include"
    folder = include / "slab_allocator" / arguments.floor
    files = {str(path): File(path) for path in sorted(folder.rglob("*.hpp"))}
    for program in arguments.programs:
        read(exported(arguments, profile, program), files)

    missed, excluded = 0, 0
    floors = collections.defaultdict(lambda: [[0, 0] for _ in range(3)])
    print(f"{'':34}{'lines':>14}{'branches':>14}{'MC/DC':>14}")
    for name, file in files.items():
        counts = [file.count(table) for table in (file.lines, file.branches, file.conditions)]
        short = str(pathlib.Path(name).relative_to(include / "slab_allocator"))
        for total in (floors[short.split("/")[0] + "/" if "/" in short else short], floors["all"]):
            for at, (reached, number) in enumerate(counts):
                total[at][0] += reached
                total[at][1] += number
        if counts[0][1] > 0:
            print(f"{short:34}" + "".join(shown(*count) for count in counts))
    print()
    for floor in sorted(floors, key=lambda floor: (floor == "all", floor)):
        if floors[floor][0][1] > 0:
            print(f"{floor:34}" + "".join(shown(*count) for count in floors[floor]))
    print()
    for name, file in files.items():
        short = pathlib.Path(name).relative_to(arguments.root)
        for line in sorted(file.excluded):
            print(f"excluded: {short}:{line}: {file.source[line - 1].strip()}")
        excluded += len(file.excluded)
        for line, what in sorted(file.missed()):
            if line not in file.excluded:
                print(f"missed: {short}:{line}: {what}: {file.source[line - 1].strip()}")
                missed += 1
    print(f"{missed} missed, {excluded} lines excluded")
    return 1 if missed > arguments.missed or excluded > MOST_EXCLUDED else 0


def shown(reached, number):
    return f"{reached:>9}/{number:<4}" if number > 0 else f"{'-':>14}"


if __name__ == "__main__":
    sys.exit(main())
