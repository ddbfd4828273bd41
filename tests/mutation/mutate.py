#!/usr/bin/env python3
"""mutate.py -- would the tests notice? Breaks the core in one place at a time, and looks.

    python3 tests/mutation/mutate.py                             all, minutes
    python3 tests/mutation/mutate.py --sample 60 --seed 1        some
    python3 tests/mutation/mutate.py --only plain_front.hpp:free  those of a file, or of a function
    python3 tests/mutation/mutate.py --list                      what would be tried

A mutant is include/slab_allocator/core with one operator, number, condition or statement changed.
All of them are compiled at once: each place asks which mutant is on, and the environment says so.
So a mutant costs a run and no build. What the compiler needs as a constant (a layout, the size of
an array, an if constexpr) cannot ask; those mutants are left out, and counted. These programs are
run (--programs), the quick ones first:

    quick     caches of every row and level, walked, fuzzed and attacked: quick.cpp, a second
    units     the tests of the rooms below the cache, a second
    address   tests/sanitizers under AddressSanitizer, which must report each misuse; a second
    memcheck  the same under Valgrind
    core      the tests of the cache, with few.cpp's configurations

A mutant is killed where a test fails or traps, or takes ten times as long as it should. One that
nothing can notice is listed in equivalent.txt, with the reason; it counts as neither. Prints every
survivor with file, line and change; exits with 1 where fewer than --least percent were killed.
Needs clang 19, Catch2 and the standard library of Python alone.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path("include/slab_allocator/core")

MEMORY = 8 << 30  # for a mutant that takes without end

# What has statements that run.
FILES = ("align", "bulk_marks", "cache", "diagnosis", "free_map", "geometry", "guarded_front",
         "guards", "handle", "instruments", "intrusive_list", "layout", "object_calls",
         "object_stack", "plain_front", "quarantine", "retention", "secret", "slab_info",
         "slab_locator", "slab_lists", "slab_set", "slab_store", "slot_exchange",
         "slot_group")



@dataclasses.dataclass
class Program:
    sources: tuple
    options: tuple = ()
    tool: str = ""  # how tests/sanitizers/expect.py runs it; none: it runs by itself
    catch: bool = False


def core_tests(*names):
    return tuple(f"core/{name}_test.cpp" for name in names)


PROGRAMS = {
    "quick": Program(("mutation/quick.cpp",)),
    "units": Program(core_tests("align", "at_run_time", "free_map", "geometry", "guards", "handle",
                                "intrusive_list", "layout", "object_stack", "quarantine",
                                "retention", "secret", "slab_info", "slab_lists",
                                "slab_locator", "slab_store", "slot_group"),
                     catch=True),
    "address": Program(("sanitizers/misuse.cpp",),
                       ("-g1", "-fno-omit-frame-pointer", "-fsanitize=address",
                        "-fsanitize-recover=address"), tool="address"),
    "memcheck": Program(("sanitizers/misuse.cpp",), ("-g", "-gdwarf-4"), tool="memcheck"),
    "core": Program(("mutation/few.cpp", *core_tests(
        "cache", "cache_misuse", "cache_bulk", "cache_slabs", "cache_validate", "cache_guards",
        "cache_hand", "cache_hostile_backend", "cache_out_of_memory", "cache_reentrancy",
        "cache_statistics", "slab_view")), catch=True)}

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
        return (f"{FOLDER}/{self.file}:{self.line} ({self.function})\n"
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
    path = ROOT / FOLDER / f"{name}.hpp"
    function, compiled = "-", False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(True), 1):
        if not line.startswith((" ", "inline", "constexpr")) or line.lstrip().startswith("//"):
            function = "-" if line.startswith("}") else function
            compiled = compiled and not line.startswith("}")
        declared = FUNCTION.search(code_of(line)) if re.match(r"^( {4})?\S", line) else None
        if declared and declared[1] not in ("if", "while", "for", "requires", "switch", "noexcept",
                                             "static_assert"):
            function, compiled = declared[1], "consteval" in line
        if compiled:  # nothing of it runs
            continue
        if PASSED_OVER.match(line) and not re.match(r"^\s*return\b", line):
            if not re.match(r"^\s*\[\[nodiscard\]\].*\{ return", line):
                continue
        seen = set()
        for after in changes(line):
            if after not in seen and after != line:
                seen.add(after)
                yield Mutant(f"{name}.hpp", number, line, after, function)


def survivors_of(output):
    """(file, before, after) of those that an earlier run printed."""
    found = re.findall(rf"survived: {FOLDER}/(\S+):\d+ \(.*\)\n  - (.*)\n  \+ (.*)",
                       pathlib.Path(output).read_text(encoding="utf-8"))
    return set(found)


def chosen(arguments):
    mutants = [mutant for name in FILES for mutant in mutants_of(name)]
    if arguments.again:
        wanted = survivors_of(arguments.again)
        mutants = [m for m in mutants if (m.file, m.before.strip(), m.after.strip()) in wanted]
    if arguments.only:
        wanted = set(arguments.only.split(","))
        mutants = [m for m in mutants if wanted & {m.file, f"{m.file}:{m.function}"}]
    return sorted(mutants, key=lambda m: (m.file, m.line))


# ---- One source with all mutants -----------------------------------------------------------------

def balanced(text):
    return all(text.count(opening) == text.count(closing)
               for opening, closing in ("()", "[]", "{}"))


def statements(lines):
    """(first, last) of the lines that belong together, from 0."""
    first = 0
    for at in range(len(lines)):
        text = " ".join(code_of(line.rstrip("\n")) for line in lines[first:at + 1]).strip()
        whole = text == "" or text.startswith("#")
        if re.match(r"(return|[\w:<>*& ]+ = )\b.*", text) and not text.endswith("{"):
            whole = whole or (balanced(text) and text.endswith(";"))
        elif text.startswith("return"):
            whole = whole or (balanced(text) and text.endswith(";"))
        else:
            whole = whole or text.endswith(("{", "}")) or (
                text.count("(") == text.count(")") and text.endswith((";", ":", ")", "]")))
        if whole:
            yield first, at
            first = at + 1


def parts_of(text):
    """A statement as (kind, pieces); the pieces joined are the text again. None: not understood."""
    code = code_of_all(text)
    if re.search(r"\b(constexpr|consteval|static_assert|using|template|requires|case|static)\b",
                 code.split("{")[0] if "{ return" in code else code):
        body = re.match(r"(.*\) (?:const )?noexcept \{ )(return .*; |[^;{}]*; )(\})\s*$", code, re.S)
        if not body or "static constexpr" in code and "(" not in code:
            return None
        return "body", [text[slice(*body.span(group))] for group in (1, 2)] + [
            text[body.start(3):]]
    match = re.match(r"\s*(?:\} else )?(?:if|while) \(", code)
    if match:
        end = condition_end(code, match.end() - 1)
        if end is None or ";" in code[match.end():end] or re.search(r"[^<>=!]=[^=]",
                                                                   code[match.end():end]):
            return None
        rest = re.match(r"\)( \[\[\w+\]\])?\s*", code[end:])
        after = end + rest.end()
        return "if", [text[:match.end()], text[match.end():end], text[end:after], text[after:]]
    match = re.match(r"\s*for \(", code)
    if match:
        end = condition_end(code, match.end() - 1)
        pieces = text[match.end():end].split(";") if end is not None else []
        if len(pieces) != 3:
            return None
        return "for", [text[:match.end()] + pieces[0] + ";", pieces[1], ";" + pieces[2],
                       text[end:]]
    match = re.match(r"(\s*[\w:<>*& ]+ )(=\s+)([^;]+)(;\s*)$", code, re.S)
    if match and not re.match(r"\s*[\w.\->\[\]]+\s*$", match[1]) and "return" not in match[1]:
        if re.search(r"[|&+\-^]\s*$", match[1]):
            return None
        return "declaration", [text[:match.end(2)], text[slice(*match.span(3))],
                               text[match.start(4):]]
    body = re.match(r"(.*\) (?:const )?noexcept \{ )(return .*; |[^;{}]*; )(\})\s*$", code, re.S)
    if body:
        return "body", [text[slice(*body.span(group))] for group in (1, 2)] + [
            text[body.start(3):]]
    if re.match(r"\s*\[\[(no_unique_address|maybe_unused)\]\]", code):
        return None
    if re.match(r"\s*(?:const\s+)?[\w:]+(?:<[^;=]*>)?[\s*&]+\w+\s*(=|;|\{|\[)", code) and \
            not code.strip().startswith("return"):
        return None  # a declaration
    if re.match(r"\s*const [\w:]+ \w+\(", code):
        return None  # another, whose destructor is to run at the end of the block around it
    if code.strip().endswith(";") and balanced(code) and not code.strip().startswith("}"):
        return "statement", [text]
    return None


def code_of_all(text):
    return "\n".join(code_of(line).ljust(len(line)) for line in text.split("\n"))


def is_on(number):
    return f"::slab_allocator::mutant({number})"


def one_of(original, versions, bool_too):
    """An expression that is `original`, or the version that is on."""
    kind = "bool" if bool_too else ""
    result = "".join(f"\n{is_on(number)} ? {kind}({text}) :\n" for number, text in versions)
    return f"({result} {kind}({original}))\n"


def chosen_statement(original, versions):
    result = "{" + "".join(f"\nif ({is_on(number)}) {{ {text} }} else\n"
                           for number, text in versions)
    return result + f"{{ {original} }} }}"


def with_mutants(text, versions):
    """`text`, which is what the mutant says that is on. Returns it, and who could not be put in."""
    understood = parts_of(text)
    if understood is None:
        return text, [number for number, _ in versions]
    kind, pieces = understood
    changed, left_out = {}, []
    for number, version in versions:
        other = parts_of(version)
        if other is None and kind == "statement":
            other = ("statement", [version])
        if other is None or other[0] != kind or len(other[1]) != len(pieces):
            left_out.append(number)
            continue
        places = [at for at in range(len(pieces)) if pieces[at] != other[1][at]]
        allowed = {"if": (1, 3), "for": (1, 2), "declaration": (1,), "body": (1,),
                   "statement": (0,)}[kind]
        if len(places) != 1 or places[0] not in allowed:
            left_out.append(number)
            continue
        if kind == "if" and places[0] == 3 and not pieces[3].strip().endswith(";"):
            left_out.append(number)
            continue
        changed.setdefault(places[0], []).append((number, other[1][places[0]].strip()))
    for at, some in changed.items():
        piece = pieces[at]
        bare = "\n".join(code_of(line) for line in piece.split("\n"))
        some = [(number, "\n".join(code_of(line) for line in version.split("\n")).replace("\n", " "))
                for number, version in some]
        if kind in ("if", "for") and at == 1:
            pieces[at] = one_of(bare, some, True)
        elif kind == "for":
            versions_of_step = [(number, version.lstrip("; ")) for number, version in some]
            pieces[at] = "; " + "".join(f"\n{is_on(number)} ? void(({version})) :\n"
                                        for number, version in versions_of_step) + \
                f" void(({bare.lstrip('; ')}))"
        elif kind == "declaration":
            # A const number is a constant, if it can be, and for a constant no mutant is on.
            pieces[0] = re.sub(r"^(\s*)const (?=[\w:]+ \w+ =)", r"\1", pieces[0])
            pieces[at] = one_of(bare, some, False)
        elif kind == "body":
            pieces[at] = chosen_statement(bare, some)
        else:
            pieces[at] = chosen_statement(bare, some) + "\n"
    return "".join(pieces), left_out


MUTANT_HEADER = """#pragma once
#include <cstdlib>
namespace slab_allocator {
inline const unsigned long mutant_number = [] {
    const char* const text = std::getenv("SLAB_ALLOCATOR_MUTANT");
    return text == nullptr ? 0UL : std::strtoul(text, nullptr, 10);
}();
constexpr bool mutant(unsigned long number) noexcept {
    return !__builtin_is_constant_evaluated() && mutant_number == number;
}
}
"""


def write_headers(include, mutants, dropped):
    """The headers with all mutants but the dropped. Returns: who could not be put in."""
    left_out = set()
    (include / "slab_allocator" / "mutant.hpp").write_text(MUTANT_HEADER)
    for file in sorted({mutant.file for mutant in mutants}):
        lines = (ROOT / FOLDER / file).read_text(encoding="utf-8").splitlines(True)
        at_line = {}
        for number, mutant in enumerate(mutants, 1):
            if mutant.file == file and number not in dropped:
                at_line.setdefault(mutant.line - 1, []).append((number, mutant.after))
        result = []
        for first, last in statements(lines):
            versions = []
            for line in range(first, last + 1):
                for number, after in at_line.get(line, []):
                    versions.append((number, "".join(
                        after if other == line else lines[other]
                        for other in range(first, last + 1))))
            text = "".join(lines[first:last + 1])
            if versions:
                text, out = with_mutants(text, versions)
                left_out.update(out)
            result.append(text if text.endswith("\n") else text + "\n")
        text = "".join(result).replace("#pragma once\n",
                                       "#pragma once\n#include <slab_allocator/mutant.hpp>\n", 1)
        header = include / "slab_allocator" / "core" / file
        header.with_suffix(".new").write_text(text, encoding="utf-8")
        header.with_suffix(".new").replace(header)  # a compiler may be reading it
    return left_out


class Workshop:
    """Builds the programs, and runs them with one mutant on."""

    def __init__(self, directory, arguments):
        self.directory, self.arguments = pathlib.Path(directory), arguments
        self.include = self.directory / "include"
        self.programs = {name: PROGRAMS[name] for name in arguments.programs.split(",")}
        self.seconds = {}
        self.lock = threading.Lock()

    def compile(self, source, *options):
        return subprocess.run(
            [self.arguments.compiler, "-std=c++20", "-O1", "-w", "-ferror-limit=0",
             "-fconstexpr-steps=100000000",  # a mutant's place is a step
             f"-I{self.include}", f"-I{ROOT}/tests", str(ROOT / "tests" / source), *options],
            check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def build(self, mutants):
        """Returns: the numbers of those that are in the programs."""
        shutil.copytree(ROOT / "include", self.include)
        self.mutants, self.dropped = mutants, set()
        self.left_out = write_headers(self.include, mutants, self.dropped)
        for name, program in self.programs.items():
            objects = [self.object_of(name, source) for source in program.sources]
            with concurrent.futures.ThreadPoolExecutor(self.arguments.jobs) as pool:
                list(pool.map(lambda source, of=name: self.build_one(of, source), program.sources))
            subprocess.run([self.arguments.compiler, *program.options, *objects,
                            *(["-lCatch2WithMain"] if program.catch else []), "-o",
                            str(self.directory / name)], check=True)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            if self.run(name, 0, 600) is not None:
                sys.exit(f"{name} fails without a mutant")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.seconds[name] = after.ru_utime - before.ru_utime
        return [number for number in range(1, len(mutants) + 1)
                if number not in self.dropped and number not in self.left_out]

    def object_of(self, name, source):
        return str(self.directory / f"{name}-{pathlib.Path(source).stem}.o")

    def build_one(self, name, source):
        """Drops mutants until it compiles. What was built before them has them, and never on."""
        while True:
            known = len(self.dropped)
            done = self.compile(source, *self.programs[name].options, "-c", "-o",
                                self.object_of(name, source))
            if done.returncode == 0:
                return
            with self.lock:
                if len(self.dropped) != known:
                    continue  # the headers are others than those that it read
                wrong = self.blamed(done.stderr)
                if not wrong:
                    sys.exit(f"no mutant is to blame:\n{done.stderr[:3000]}")
                self.dropped |= wrong
                self.left_out = write_headers(self.include, self.mutants, self.dropped)

    def blamed(self, errors):
        """The mutants whose lines do not compile."""
        result = set()
        for path, line in re.findall(r"^(/\S+):(\d+):\d+: (?:error|fatal error):", errors, re.M):
            if str(self.include) not in path:
                continue
            lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
            for at in (int(line) - 1, int(line) - 2):
                found = re.findall(r"::mutant\((\d+)\)", lines[at])
                if found:
                    result.update(int(number) for number in found)
                    break
        return result

    def run(self, name, number, seconds):
        """None: nothing was noticed."""
        program = self.programs[name]

        def limit():
            if program.tool == "":  # the tools map more than there is
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        variables = dict(os.environ, SLAB_ALLOCATOR_MUTANT=str(number),
                         SLAB_ALLOCATOR_OPERATIONS="20000")
        command = [str(self.directory / name), *(["--abort"] if program.catch else [])]
        if program.tool != "":
            tests = ROOT / "tests" / "sanitizers"
            command = [sys.executable, "-B", str(tests / "expect.py"), program.tool, command[0],
                       str(tests / "misuse.cpp"), "valgrind"]
        done = subprocess.run(command, env=variables, check=False, preexec_fn=limit,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return None if done.returncode == 0 else done.returncode

    def fate_of(self, number):
        """Which program noticed; None: none."""
        for program in self.programs:
            if self.run(program, number, 2 + int(10 * self.seconds[program])) is not None:
                return program
        return None


def equivalent_mutants():
    """(file, before, after) of what nothing can notice."""
    path = ROOT / "tests" / "mutation" / "equivalent.txt"
    result, file, before = set(), None, None
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("- "):
            before = line[2:].strip()
        elif line.startswith("+ "):
            result.add((file, before, line[2:].strip()))
        elif line.endswith(".hpp"):
            file = line
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=0, help="how many, by chance; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="FILE[:FUNCTION],...")
    parser.add_argument("--again", metavar="OUTPUT", help="those that survived an earlier run")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--programs", default=",".join(PROGRAMS), help="some of them, in order")
    parser.add_argument("--least", type=float, default=95, help="percent that must be killed")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--compiler", default="clang++-19")
    arguments = parser.parse_args()

    mutants = chosen(arguments)
    if arguments.list:
        for mutant in mutants:
            print(mutant)
        print(f"{len(mutants)} mutants")
        return 0
    start = time.monotonic()
    equivalent = equivalent_mutants()
    killed, survivors, same = {}, [], 0
    if arguments.sample and arguments.sample < len(mutants):  # few compile in seconds
        places = random.Random(arguments.seed).sample(range(len(mutants)), arguments.sample)
        mutants = [mutants[place] for place in sorted(places)]
    with tempfile.TemporaryDirectory() as directory:
        workshop = Workshop(directory, arguments)
        numbers = workshop.build(mutants)
        print(f"{len(mutants)} mutants, {len(numbers)} in the programs, "
              f"{time.monotonic() - start:.0f} s", flush=True)
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            for number, fate in zip(numbers, pool.map(workshop.fate_of, numbers)):
                mutant = mutants[number - 1]
                key = (mutant.file, mutant.before.strip(), mutant.after.strip())
                if fate is not None:
                    killed[fate] = killed.get(fate, 0) + 1
                    if key in equivalent:
                        print(f"not equivalent: {mutant}", flush=True)
                elif key in equivalent:
                    same += 1
                else:
                    survivors.append(mutant)
                    print(f"survived: {mutant}", flush=True)
    for fate, number in sorted(killed.items()):
        print(f"killed by {fate}: {number}")
    number = sum(killed.values())
    share = 100 * number / max(number + len(survivors), 1)
    print(f"{number + len(survivors)} mutants, {number} killed ({share:.1f} %), "
          f"{len(survivors)} survived; {same} equivalent, {time.monotonic() - start:.0f} s")
    return 0 if share >= arguments.least else 1


if __name__ == "__main__":
    sys.exit(main())
