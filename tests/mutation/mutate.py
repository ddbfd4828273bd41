#!/usr/bin/env python3
"""mutate.py -- would the tests notice? Breaks the core in one place at a time, and looks.

    python3 tests/mutation/mutate.py --sample 60 --seed 1
    python3 tests/mutation/mutate.py --list                      what would be tried
    python3 tests/mutation/mutate.py --only cache.hpp:free       files, or functions of a file

A mutant is a copy of include/slab_allocator/core with one operator, number, condition or statement
changed. Tests are built against it, the quick ones first; the others run only for what these let
through:

    quick        four caches, walked and fuzzed: quick.cpp, a few seconds
    unit         the test of the header that was changed, where it needs no cache
    exhaustive   tests/exhaustive to ten operations
    all          the tests of the core that are named below: minutes

A mutant is killed where it does not compile, a test fails or traps, or does not end in time.
Prints every survivor with file, line and change; exits with 1 where there are more than
--survivors. Needs g++ and the standard library of Python alone.
"""

import argparse
import concurrent.futures
import dataclasses
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORE = pathlib.Path("include/slab_allocator/core")

MEMORY = 8 << 30  # for a mutant that takes without end

# What has statements that run.
FILES = ("align", "cache", "free_map", "handle", "intrusive_list", "layout", "placement",
         "recent_objects", "slab_lists", "slab_info")

QUICK = ("mutation/quick.cpp",)
SLOW = ("exhaustive/sequences_misuse_test.cpp", "exhaustive/sequences_none_test.cpp")
UNITS = tuple(f"core/{name}_test.cpp" for name in (
    "align", "free_map", "handle", "intrusive_list", "layout", "recent_objects", "slab_lists"))
CORE_TESTS = ("cache_test", "cache_misuse_test", "cache_bulk_test", "cache_slabs_test",
              "cache_validate_test", "cache_hostile_backend_test", "cache_out_of_memory_test",
              "cache_reentrancy_test", "free_map_test", "handle_test", "intrusive_list_test",
              "layout_test", "recent_objects_test", "slab_lists_test", "align_test",
              "configurations_test", "configurations_few_test", "configurations_many_test",
              "configurations_odd_test")

SWAPS = [
    (r"(?<![<>=!-])<(?![<=])(?=\s)(?<=\s<)", ["<=", ">="]),
    (r"(?<![<>=!-])>(?![>=])(?=\s)(?<=\s>)", [">=", "<="]),
    (r"(?<=\s)<=(?=\s)", ["<", ">"]),
    (r"(?<=\s)>=(?=\s)", [">", "<"]),
    (r"(?<=\s)==(?=\s)", ["!="]),
    (r"(?<=\s)!=(?=\s)", ["=="]),
    (r"(?<=\s)&&(?=\s)", ["||"]),
    (r"(?<=\s)\|\|(?=\s)", ["&&"]),
    (r"(?<=\s)\+(?=\s)", ["-"]),
    (r"(?<=\s)-(?=\s)", ["+"]),
    (r"(?<=\s)\*(?=\s\w)", ["+"]),
    (r"(?<=\s)/(?=\s)", ["*"]),
    (r"(?<=\s)%(?=\s)", ["/"]),
    (r"(?<=\s)\+=(?=\s)", ["-="]),
    (r"(?<=\s)-=(?=\s)", ["+="]),
    (r"(?<=\s)\|=(?=\s)", ["&=", "="]),
    (r"(?<=\s)&=(?=\s)", ["|="]),
    (r"(?<=\s)&(?=\s)", ["|"]),
    (r"(?<=\s)\|(?=\s)", ["&"]),
    (r"(?<=\s)<<(?=\s)", [">>"]),
    (r"(?<=\s)>>(?=\s)", ["<<"]),
    (r"~(?=[\w(])(?!Cache|Handle|FreeUnless)", [""]),
    (r"\+\+(?=[\w(])", ["--"]),
    (r"--(?=[\w(])", ["++"]),
    (r"\btrue\b", ["false"]),
    (r"\bfalse\b", ["true"]),
    (r"(?<![\w.'])(\d+)(?=U?\b)(?![\w.']*[xX'])", None),  # a number: one more, one less
]
CONDITION = re.compile(r"\b(if|while)( constexpr)? \(")
STATEMENT = re.compile(r"^\s+(?:static_cast<void>\()?[A-Za-z_+\-*][\w.\->\[\]:+*]*"
                       r"(?:\([^{}]*\)|\s(?:=|[+\-|&]=)\s[^{}]*|\+\+|--)?;\s*(?://.*)?$")
PASSED_OVER = re.compile(r"^\s*(//|#|static_assert|using|template|requires|namespace|friend|"
                         r"\[\[nodiscard\]\]|return\b|public:|private:|struct|class|enum)")
FUNCTION = re.compile(r"(\b[a-z_]\w*|~\w+)\((?!.*;\s*$)[^;]*$")


@dataclasses.dataclass
class Mutant:
    file: str
    line: int  # from 1
    before: str
    after: str
    function: str

    def __str__(self):
        return (f"{CORE}/{self.file}:{self.line} ({self.function})\n"
                f"  - {self.before.strip()}\n  + {self.after.strip()}")


def code_of(line):
    """The line without its comment and with strings blanked, as long as before."""
    line = re.sub(r'"(?:\\.|[^"\\])*"', lambda match: " " * len(match[0]), line)
    return line.split("//")[0]


def condition_end(code, start):
    depth = 0
    for at in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return at
    return None


def changes(line):
    code = code_of(line)
    types = [match.span() for match in re.finditer(r"<[\w:, *&]*>", code)]  # template arguments
    for pattern, others in SWAPS:
        for match in re.finditer(pattern, code):
            if any(begin < match.start() < end for begin, end in types):
                continue
            if others is None:
                number = int(match[1])
                values = [str(number + 1)] + ([str(number - 1)] if number > 0 else [])
            else:
                values = others
            for value in values:
                yield line[:match.start()] + value + line[match.end():]
    for match in CONDITION.finditer(code):
        end = condition_end(code, match.end() - 1)
        if end is not None and not match[2]:
            inside = line[match.end():end]
            yield line[:match.end()] + "!(" + inside + ")" + line[end:]
    if STATEMENT.match(line) and not PASSED_OVER.match(line):
        yield re.match(r"\s*", line)[0] + ";\n"


def mutants_of(name):
    path = ROOT / CORE / f"{name}.hpp"
    function = "-"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(True), 1):
        if not line.startswith((" ", "inline", "constexpr")) or line.lstrip().startswith("//"):
            function = "-" if line.startswith("}") else function
        declared = FUNCTION.search(code_of(line)) if re.match(r"^( {4})?\S", line) else None
        if declared and declared[1] not in ("if", "while", "for", "requires", "switch", "noexcept"):
            function = declared[1]
        if PASSED_OVER.match(line) and not re.match(r"^\s*return\b", line):
            if not re.match(r"^\s*\[\[nodiscard\]\].*\{ return", line):
                continue
        seen = set()
        for after in changes(line):
            if after not in seen and after != line:
                seen.add(after)
                yield Mutant(f"{name}.hpp", number, line, after, function)


def chosen(arguments):
    mutants = [mutant for name in FILES for mutant in mutants_of(name)]
    if arguments.only:
        file, _, function = arguments.only.partition(":")
        mutants = [m for m in mutants
                   if m.file == file and function in ("", m.function)]
    if arguments.sample and arguments.sample < len(mutants):
        mutants = random.Random(arguments.seed).sample(mutants, arguments.sample)
    return sorted(mutants, key=lambda m: (m.file, m.line))


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


class Workshop:
    """Builds and runs tests against a copy of the headers."""

    def __init__(self, directory, arguments):
        self.directory, self.arguments = pathlib.Path(directory), arguments
        self.catch = self.directory / "catch.o"

    def prepare(self):
        main = self.directory / "catch.cpp"
        main.write_text("#define CATCH_CONFIG_MAIN\n#if __has_include(<catch2/catch_all.hpp>)\n"
                        "int main(int n, char** a) { return Catch::Session().run(n, a); }\n"
                        "#else\n#include <catch2/catch.hpp>\n#endif\n")
        subprocess.run([self.arguments.compiler, "-std=c++20", "-O1", "-c", main, "-o",
                        self.catch], check=True)

    def compile(self, include, source, output):
        command = [self.arguments.compiler, "-std=c++20", "-O1", "-w", f"-I{include}",
                   f"-I{ROOT}/tests", "-c", str(ROOT / "tests" / source), "-o", str(output)]
        return self.call(command, 240)

    @staticmethod
    def call(command, limit, variables=None):
        """None: it ended well. Else: how not."""
        try:
            done = subprocess.run(command, timeout=limit, env=variables, check=False,
                                  preexec_fn=limit_memory,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return "no end"
        return None if done.returncode == 0 else f"{done.returncode}"

    def fails(self, include, work, sources, catch, limit, variables=None):
        objects = []
        for source in sources:
            objects.append(work / (pathlib.Path(source).stem + ".o"))
            if self.compile(include, source, objects[-1]) is not None:
                return "does not compile"
        program = work / "program"
        extra = [str(self.catch)] if catch else []
        if self.call([self.arguments.compiler, *map(str, objects), *extra, "-o", str(program)],
                     60) is not None:
            return "does not link"
        failed = self.call([str(program)], limit, variables)
        return None if failed is None else f"{pathlib.Path(sources[0]).stem}: {failed}"

    def fate_of(self, mutant):
        """Who killed it; None: nobody."""
        with tempfile.TemporaryDirectory(dir=self.directory) as directory:
            work = pathlib.Path(directory)
            include = work / "include"
            shutil.copytree(ROOT / "include", include)
            if mutant is not None:
                path = include / "slab_allocator" / "core" / mutant.file
                lines = path.read_text(encoding="utf-8").splitlines(True)
                lines[mutant.line - 1] = mutant.after
                path.write_text("".join(lines), encoding="utf-8")
            fate = self.fails(include, work, QUICK, False, self.arguments.limit)
            slow = ("none", "unit", "exhaustive", "all").index(self.arguments.slow)
            unit = f"core/{mutant.file[:-4]}_test.cpp" if mutant is not None else ""
            if fate is None and slow >= 1 and unit in UNITS:
                fate = self.fails(include, work, (unit,), True, 30)
            if fate is None and slow >= 2:
                length = {"PATH": "/usr/bin:/bin", "SLAB_ALLOCATOR_LENGTH": "10"}
                for source in SLOW:
                    fate = fate or self.fails(include, work, (source,), True, 60, length)
            if fate is None and slow >= 3:
                fewer = {"PATH": "/usr/bin:/bin", "SLAB_ALLOCATOR_OPERATIONS": "20000"}
                sources = [f"core/{name}.cpp" for name in CORE_TESTS]
                fate = self.fails(include, work, sources, True, 300, fewer)
            return fate


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=0, help="how many, by chance; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="FILE[:FUNCTION]")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--slow", choices=("none", "unit", "exhaustive", "all"),
                        default="all",
                        help="which tests run for what the quick ones let through")
    parser.add_argument("--survivors", type=int, default=0, help="as many are no failure")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--limit", type=int, default=20, help="seconds for the quick tests")
    parser.add_argument("--seconds", type=int, default=0, help="start none after that long")
    parser.add_argument("--compiler", default="g++")
    arguments = parser.parse_args()

    mutants = chosen(arguments)
    if arguments.list:
        for mutant in mutants:
            print(mutant)
        print(f"{len(mutants)} mutants")
        return 0
    start = time.monotonic()
    killed, survivors, tried = {}, [], 0
    with tempfile.TemporaryDirectory() as directory:
        workshop = Workshop(directory, arguments)
        if arguments.slow != "none":
            workshop.prepare()
        fate = workshop.fate_of(None)
        if fate is not None:
            print(f"the tests fail without a mutant: {fate}")
            return 2

        def try_one(mutant):
            if arguments.seconds and time.monotonic() - start > arguments.seconds:
                return mutant, False, None
            return mutant, True, workshop.fate_of(mutant)

        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            for mutant, was_tried, fate in pool.map(try_one, mutants):
                if not was_tried:
                    continue
                tried += 1
                if fate is None:
                    survivors.append(mutant)
                    print(f"survived: {mutant}", flush=True)
                else:
                    killed[fate.split(":")[0]] = killed.get(fate.split(":")[0], 0) + 1
    for fate, number in sorted(killed.items()):
        print(f"killed: {number:4} {fate}")
    number = tried - len(survivors)
    print(f"{tried} mutants of {len(mutants)} tried, {number} killed "
          f"({100 * number / max(tried, 1):.1f} %), {len(survivors)} survived, "
          f"{time.monotonic() - start:.0f} s")
    return 1 if len(survivors) > arguments.survivors else 0


if __name__ == "__main__":
    sys.exit(main())
