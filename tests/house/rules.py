"""rules.py -- what every header of the house keeps to.

    python3 tests/house/rules.py <root of the project> [--allow-missing]

Reads the floor plan in include/slab_allocator/README.md and every header, prints each violation as
"file:line: what is wrong", and exits with 1 where there is one.
"""

import pathlib
import re
import sys

WIDTH = 100
SOURCES = ("include", "tests", "bench", "examples")

# Top-level headers are doors, not rooms: check_doors() says what each of them includes.
DOORS = ("version", "kernel", "slab_allocator")

REINTERPRET_CAST = ("core/align",)
CONDITIONS = ("core/defect", "core/poison", "core/memcheck")  # and every hosted room: operating systems differ
DEFINITIONS = ("version",)
SILENCES = ("core/object_calls",)

# What a kernel's toolchain has.
FREESTANDING = frozenset(
    "array bit compare concepts cstddef cstdint initializer_list limits new source_location span "
    "tuple type_traits utility".split()
)
ONLY_IF_HOSTED = {"core/defect": frozenset(["cstdio"])}

INCLUDE = re.compile(r"^\s*#\s*include\s*([<\"])([^>\"]+)[>\"]")
DIRECTIVE = re.compile(r"^\s*#\s*(\w+)\s*(.*?)\s*$")


class Floor:
    def __init__(self, name, below, rooms):
        self.name, self.below, self.rooms = name, below, rooms


def read_plan(text):
    """The floors of the ```floor-plan block, in its order."""
    block = re.search(r"^```floor-plan\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    if block is None:
        raise ValueError("no ```floor-plan block")
    floors = []
    for line in block[1].splitlines():
        match = re.fullmatch(r"(\w+)\s*<-([\w\s]*):([\w\s]*)", line)
        if match is None:
            raise ValueError(f"not a line of a floor plan: {line}")
        floor = Floor(match[1], match[2].split(), match[3].split())
        known = [other.name for other in floors]
        if floor.name in known or not set(floor.below) <= set(known):
            raise ValueError(f"a floor stands once, and on floors above it in the plan: {line}")
        if len(set(floor.rooms)) != len(floor.rooms):
            raise ValueError(f"a room is listed twice: {line}")
        floors.append(floor)
    return floors


def without_comments(text):
    """The text with comments and string literals blanked out, line for line."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
    return pattern.sub(lambda match: "\n" * match[0].count("\n"), text)


class Header:
    """One header: its includes, and what its head says."""

    def __init__(self, path, room):
        self.path, self.room = path, room
        self.text = path.read_text(encoding="utf-8")
        self.lines = self.text.splitlines()
        self.own, self.standard = [], []  # (line number, name)
        for number, line in enumerate(self.lines, 1):
            match = INCLUDE.match(line)
            if match is None:
                continue
            own = match[2].startswith("slab_allocator/")
            if own and match[1] == "<" and match[2].endswith(".hpp"):
                name = match[2].removeprefix("slab_allocator/").removesuffix(".hpp")
                self.own.append((number, name))
            elif match[1] == "<" and not own:
                self.standard.append((number, match[2]))
            else:
                self.own.append((number, match[0].strip()))
        self.head = "\n".join(self.head_lines())

    def head_lines(self):
        for line in self.lines[2:]:
            if not line.startswith("//"):
                return
            yield line

    @property
    def hosted(self):
        return re.search(r"\bHosted\b", self.head) is not None


class House:
    def __init__(self, root, allow_missing=False):
        self.root = pathlib.Path(root)
        self.include = self.root / "include" / "slab_allocator"
        self.plan = self.include / "README.md"
        self.allow_missing = allow_missing
        self.violations = []

    def wrong(self, path, line, what):
        self.violations.append(f"{path.relative_to(self.root)}:{line}: {what}")

    def check(self):
        try:
            self.floors = read_plan(self.plan.read_text(encoding="utf-8"))
        except ValueError as error:
            self.wrong(self.plan, 1, str(error))
            return self.violations
        self.headers = {}
        for path in sorted(self.include.rglob("*.hpp")):
            room = path.relative_to(self.include).with_suffix("").as_posix()
            self.headers[room] = Header(path, room)
        self.check_files()
        allowed = self.allowed_includes()
        for header in self.headers.values():
            self.check_head(header)
            self.check_includes(header, allowed.get(header.room, ()))
            self.check_preprocessor(header)
            self.check_casts(header)
        self.check_doors()
        self.check_width()
        return self.violations

    def rooms(self):
        return [f"{floor.name}/{room}" for floor in self.floors for room in floor.rooms]

    def check_files(self):
        for room, header in self.headers.items():
            if room not in self.rooms() and room not in DOORS:
                self.wrong(header.path, 1, "is not listed in the floor plan")
        if self.allow_missing:
            return
        for room in [*self.rooms(), *DOORS]:
            if room not in self.headers:
                self.wrong(self.plan, 1, f"there is no {room}.hpp")

    def allowed_includes(self):
        """For each room, the rooms that it may include."""
        by_floor = {f.name: {f"{f.name}/{room}" for room in f.rooms} for f in self.floors}
        allowed = {}
        for floor in self.floors:
            below = set().union(*(by_floor[name] for name in floor.below))
            before = set()
            for room in floor.rooms:
                allowed[f"{floor.name}/{room}"] = below | before
                before = before | {f"{floor.name}/{room}"}
        return allowed

    def check_head(self, header):
        if header.lines[:2] != ["#pragma once", ""]:
            self.wrong(header.path, 1, "starts with #pragma once and an empty line")
        name = f"// {header.path.name} -- "
        if not header.head.startswith(name):
            self.wrong(header.path, 3, f"its head starts with: {name}")

    def check_includes(self, header, allowed):
        if header.room in DOORS:
            return
        for line, room in header.own:
            if room not in allowed:
                self.wrong(header.path, line, f"the floor plan does not allow: {room}")
            elif room in self.headers and self.headers[room].hosted and not header.hosted:
                self.wrong(header.path, line, f"is not hosted, so it may not include {room}")
        if header.hosted:
            return
        for line, name in header.standard:
            if name in FREESTANDING:
                continue
            if name in ONLY_IF_HOSTED.get(header.room, ()) and self.is_in_hosted_part(header, line):
                continue
            self.wrong(header.path, line, f"a kernel has no <{name}>; is the room hosted?")

    @staticmethod
    def is_in_hosted_part(header, line):
        opened = []
        for text in header.lines[: line - 1]:
            if re.match(r"\s*#\s*if", text):
                opened.append(text.strip())
            elif re.match(r"\s*#\s*endif", text):
                opened.pop()
        return "#if __STDC_HOSTED__" in opened

    def check_preprocessor(self, header):
        for number, line in enumerate(header.lines, 1):
            match = DIRECTIVE.match(line)
            if match is None or match[1] == "include" or (number == 1 and match[1] == "pragma"):
                continue
            conditional = match[1] in ("if", "ifdef", "ifndef", "elif", "else", "endif")
            if conditional and (header.room in CONDITIONS or header.hosted):
                continue
            if match[1] == "define" and header.room in DEFINITIONS:
                continue
            if line.startswith("#pragma GCC diagnostic ") and header.room in SILENCES:
                continue
            self.wrong(header.path, number, f"#{match[1]} does not belong in this room")

    def check_casts(self, header):
        if header.room in REINTERPRET_CAST:
            return
        for number, line in enumerate(without_comments(header.text).splitlines(), 1):
            if "reinterpret_cast" in line:
                rooms = " and ".join(REINTERPRET_CAST)
                self.wrong(header.path, number, f"reinterpret_cast stands only in {rooms}")

    def check_doors(self):
        rooms = [room for room in self.rooms() if room in self.headers]
        hosted = [room for room in rooms if self.headers[room].hosted]
        open_to = {
            "version": [],
            "kernel": [room for room in rooms if room not in hosted] + ["version"],
            "slab_allocator": ["kernel", *hosted],
        }
        for door, expected in open_to.items():
            if door not in self.headers:
                continue
            header = self.headers[door]
            found = [room for _, room in header.own]
            for room in sorted(set(expected) - set(found)):
                self.wrong(header.path, 1, f"includes {room}, too")
            for line, room in header.own:
                if room not in expected or found.count(room) > 1:
                    self.wrong(header.path, line, f"does not include {room}, or not twice")
            for line, name in header.standard:
                self.wrong(header.path, line, f"is a door and does not include <{name}>")

    def check_width(self):
        for folder in SOURCES:
            for path in sorted((self.root / folder).rglob("*")):
                if path.suffix not in (".hpp", ".cpp"):
                    continue
                for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                    if len(line) > WIDTH:
                        self.wrong(path, number, f"is {len(line)} wide, at most {WIDTH} fit")


def main(arguments):
    allow_missing = "--allow-missing" in arguments
    (root,) = [argument for argument in arguments if not argument.startswith("--")]
    violations = House(root, allow_missing).check()
    print("\n".join(violations) or "Every header keeps to the floor plan.")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
