"""amalgamate.py -- the library as one header, made of the headers in include/.

    python3 tools/amalgamate.py [--check] [--root <root of the project>]

    slab_allocator/slab_allocator.hpp  -->  single_include/slab_allocator.hpp
    slab_allocator/kernel.hpp          -->  single_include/slab_allocator_kernel.hpp

Writes both, or with --check shows how the files there differ from what would be written, and exits
with 1 where they do. What is written depends on the headers and LICENSE alone.

Every header that the door leads to stands in the file once, with its head, after those that it
includes. Standard headers are collected at the top. A conditional block that includes and does
nothing else goes there too, unless its condition asks for a macro that the library itself defines,
or everything in it is included anyway.
"""

import argparse
import difflib
import pathlib
import re
import sys

DOORS = {"slab_allocator": "slab_allocator.hpp", "kernel": "slab_allocator_kernel.hpp"}

INCLUDE = re.compile(r"\s*#\s*include\s*([<\"])([^>\"]+)[>\"]")
DIRECTIVE = re.compile(r"\s*#\s*(\w+)")
DEFINE = re.compile(r"\s*#\s*define\s+(\w+)")
OPENS = ("if", "ifdef", "ifndef")
CONTINUES = ("elif", "elifdef", "elifndef", "else")
MOST_DIFFERENCES = 40

REFUSED = [  # and what follows is not read, so that the sentence stands alone
    "#if defined(SLAB_ALLOCATOR_VERSION_MAJOR)",
    '#error "slab_allocator is here already: include one single header, or those of the folder"',
    "#elif __cplusplus <= 201703L",
    '#error "slab_allocator is a C++20 library: compile with -std=c++20, or a later standard"',
    "#else",
]


class Refused(Exception):
    """A header that cannot be put in one file with the others."""


def directive_of(line):
    match = DIRECTIVE.match(line)
    return match[1] if match else None


class Block:
    """The lines from an #if to its #endif."""

    def __init__(self, lines):
        self.lines = lines
        self.includes = {match[2] for line in lines if (match := INCLUDE.match(line))}

    def includes_only(self):
        kept = (*OPENS, *CONTINUES, "endif", "include")
        return bool(self.includes) and all(
            not line.strip() or directive_of(line) in kept for line in self.lines
        )

    def asks_for(self, macros):
        conditions = [line for line in self.lines if not INCLUDE.match(line)]
        return not macros.isdisjoint(re.findall(r"\w+", "\n".join(conditions)))


class Amalgamation:
    """Headers in the order in which includes lead to them, each without its includes."""

    def __init__(self, root):
        self.include = root / "include"
        self.license = (root / "LICENSE").read_text(encoding="utf-8").splitlines()
        self.rooms = {}  # name: lines and blocks
        self.standard = set()

    def add(self, name):
        if name in self.rooms:
            return
        path = self.include / name
        if not path.is_file():
            raise Refused(f"there is no {name}")
        lines = path.read_bytes().decode("utf-8").split("\n")
        if any("\r" in line for line in lines):
            raise Refused(f"{name}: a line ends in CR LF")
        if lines[0] != "#pragma once":
            raise Refused(f"{name}: does not start with #pragma once")
        self.rooms[name] = None  # on the way: who includes it again need not wait for it
        room = [part for part in self.parts(name, lines[1:]) if self.stays(name, part)]
        del self.rooms[name]  # it stands behind those that it includes
        self.rooms[name] = room

    @staticmethod
    def parts(name, lines):
        """The lines; what stands between an #if and its #endif is one Block."""
        opened, depth = [], 0
        for line in lines:
            directive = directive_of(line)
            if directive in OPENS:
                depth += 1
            if depth == 0:
                yield line
                continue
            opened.append(line)
            if directive == "endif":
                depth -= 1
                if depth == 0:
                    yield Block(opened)
                    opened = []
        if opened:
            raise Refused(f"{name}: #if without #endif")

    def stays(self, name, part):
        """Follows or collects an include; everything else stays where it is."""
        if isinstance(part, Block):
            for line in part.lines:
                match = INCLUDE.match(line)
                if match and (match[1] == '"' or match[2].startswith("slab_allocator/")):
                    raise Refused(f"{name}: includes a header of the library in an #if: {match[2]}")
            return True
        match = INCLUDE.match(part)
        if match is None:
            return True
        if match[1] == '"':
            raise Refused(f"{name}: includes in quotes: {match[2]}")
        if match[2].startswith("slab_allocator/"):
            self.add(match[2])
        else:
            self.standard.add(match[2])
        return False

    def conditional(self):
        """Takes the blocks that belong to the top out of the rooms. Each is returned once."""
        lines = [line for room in self.rooms.values() for part in room for line in lines_of(part)]
        macros = {match[1] for line in lines if (match := DEFINE.match(line))}
        taken = []
        for name, room in self.rooms.items():
            kept = []
            for part in room:
                block = isinstance(part, Block) and part.includes_only()
                if not block or part.asks_for(macros):
                    kept.append(part)
                elif not part.includes <= self.standard and part.lines not in taken:
                    taken.append(part.lines)
            self.rooms[name] = kept
        return taken

    def version(self):
        text = (self.include / "slab_allocator/version.hpp").read_text(encoding="utf-8")
        return ".".join(re.findall(r"^#define SLAB_ALLOCATOR_VERSION_\w+ (\d+)$", text, re.M))

    def text(self, door, file):
        for first in ("version", "kernel", door):  # so both files have their rooms in one order
            self.add(f"slab_allocator/{first}.hpp")
        conditional = self.conditional()
        name = f"// {door}.hpp -- "
        head = self.rooms[f"slab_allocator/{door}.hpp"]
        purpose = next(line.removeprefix(name) for line in head if line.startswith(name))
        rooms = [[line for part in room for line in lines_of(part)] for room in self.rooms.values()]
        chapters = [
            ["#pragma once"],
            [
                f"// {file} -- {purpose}",
                "//",
                f"// slab_allocator {self.version()} in one file, made by tools/amalgamate.py",
                "// from the headers in include/slab_allocator/, which are the ones to change.",
                "//",
                "// SPDX-License-Identifier: MIT",
                "//",
                *(f"// {line}".rstrip() for line in self.license),
            ],
            sorted(f"#include <{header}>" for header in self.standard if header.endswith(".h")),
            sorted(f"#include <{header}>" for header in self.standard if not header.endswith(".h")),
            *conditional,
            REFUSED,
            *(room for room in rooms if not is_door(room)),
            ["#endif"],
        ]
        return "\n".join("\n".join([*without_gaps(chapter), ""]) for chapter in chapters if chapter)


def lines_of(part):
    return part.lines if isinstance(part, Block) else [part]


def without_gaps(lines):
    """One empty line where includes have left several, none at the ends."""
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
    return text.strip("\n").split("\n")


def is_door(room):
    """Nothing is left of a door but its head."""
    return all(not line or line.startswith("//") for line in room)


def amalgamated(root):
    """For each file in single_include/, its text."""
    return {file: Amalgamation(root).text(door, file) for door, file in DOORS.items()}


def check(folder, texts):
    """What is wrong with the files in the folder, line by line."""
    for file, text in texts.items():
        path = folder / file
        there = path.read_bytes().decode("utf-8") if path.is_file() else ""
        if there == text:
            continue
        differences = difflib.unified_diff(
            there.splitlines(), text.splitlines(), f"{folder.name}/{file}", "as it would be",
            n=1, lineterm=""
        )
        yield from list(differences)[:MOST_DIFFERENCES]
        yield f"{folder.name}/{file} is not current; run: python3 tools/amalgamate.py"
    for path in sorted(folder.glob("*")):
        if path.name not in texts:
            yield f"{folder.name}/{path.name} is made of nothing"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).parents[1])
    options = parser.parse_args(arguments)
    folder = options.root / "single_include"
    try:
        texts = amalgamated(options.root)
    except Refused as reason:
        print(reason)
        return 1
    if options.check:
        wrong = list(check(folder, texts))
        print("\n".join(wrong) or "The single headers are current.")
        return 1 if wrong else 0
    folder.mkdir(exist_ok=True)
    for file, text in texts.items():
        (folder / file).write_bytes(text.encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
