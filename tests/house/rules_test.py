"""rules_test.py -- the rules accept a house that keeps to them, and name each violation.

Each test builds a small house in a temporary folder and breaks one rule in it.
"""

import pathlib
import tempfile
import unittest

from rules import House

PLAN = """# A plan

```floor-plan
core     <-      : defect align list
maps     <- core : flat
backends <- core : pages arena
```
"""

HEADERS = {
    "version": ["#define VERSION 1"],
    "kernel": [
        "#include <slab_allocator/backends/arena.hpp>",
        "#include <slab_allocator/core/align.hpp>",
        "#include <slab_allocator/core/defect.hpp>",
        "#include <slab_allocator/core/list.hpp>",
        "#include <slab_allocator/maps/flat.hpp>",
        "#include <slab_allocator/version.hpp>",
    ],
    "slab_allocator": [
        "#include <slab_allocator/backends/pages.hpp>",
        "#include <slab_allocator/kernel.hpp>",
    ],
    "core/defect": ["#if __STDC_HOSTED__", "#include <cstdio>", "#endif", "#include <cstddef>"],
    "core/align": ["#include <cstdint>", "int* p = reinterpret_cast<int*>(0);"],
    "core/list": [
        "#include <slab_allocator/core/defect.hpp>",
        "// no reinterpret_cast here",
        'const char* s = "reinterpret_cast";',
    ],
    "maps/flat": ["#include <slab_allocator/core/list.hpp>"],
    "backends/pages": ["// Hosted.", "", "#include <cstdlib>", "#ifdef X", "#endif"],
    "backends/arena": ["#include <slab_allocator/core/align.hpp>"],
}


class Rules(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.include = self.root / "include" / "slab_allocator"
        self.include.mkdir(parents=True)
        self.write("README.md", PLAN)
        for room, lines in HEADERS.items():
            self.header(room, *lines)

    def write(self, name, text):
        path = self.include / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def header(self, room, *lines):
        name = room.split("/")[-1]
        text = ["#pragma once", "", f"// {name}.hpp -- what it is for.", *lines]
        self.write(f"{room}.hpp", "\n".join(text) + "\n")

    def add(self, room, *lines):
        path = self.include / f"{room}.hpp"
        path.write_text(path.read_text() + "\n".join(lines) + "\n")

    def expect(self, *parts, **options):
        """There is one violation, and it says all of these."""
        violations = House(self.root, **options).check()
        self.assertEqual(len(violations), 1, violations)
        for part in parts:
            self.assertIn(part, violations[0])

    def test_a_house_that_keeps_to_the_rules_is_accepted(self):
        self.assertEqual(House(self.root).check(), [])

    def test_a_room_includes_no_later_room_of_its_floor(self):
        self.add("core/defect", "#include <slab_allocator/core/align.hpp>")
        self.expect("core/defect.hpp:8:", "does not allow: core/align")

    def test_a_room_does_not_include_itself(self):
        self.add("core/align", "#include <slab_allocator/core/align.hpp>")
        self.expect("core/align.hpp:6:", "does not allow: core/align")

    def test_a_room_includes_no_floor_above(self):
        self.add("core/list", "#include <slab_allocator/maps/flat.hpp>")
        self.expect("core/list.hpp:7:", "does not allow: maps/flat")

    def test_a_room_includes_no_floor_beside_it(self):
        self.add("backends/arena", "#include <slab_allocator/maps/flat.hpp>")
        self.expect("backends/arena.hpp:5:", "does not allow: maps/flat")

    def test_a_room_includes_no_door(self):
        self.add("core/list", "#include <slab_allocator/kernel.hpp>")
        self.expect("core/list.hpp:7:", "does not allow: kernel")

    def test_a_room_that_does_not_exist_is_not_included(self):
        self.add("core/list", "#include <slab_allocator/core/nothing.hpp>")
        self.expect("core/list.hpp:7:", "does not allow: core/nothing")

    def test_own_headers_are_included_in_full(self):
        self.add("core/list", '#include "defect.hpp"')
        self.expect("core/list.hpp:7:", 'does not allow: #include "defect.hpp"')

    def test_a_header_that_is_not_listed_is_found(self):
        self.header("maps/extra")
        self.expect("maps/extra.hpp:1:", "not listed")

    def test_a_header_beside_the_doors_is_found(self):
        self.header("extra")
        self.expect("extra.hpp:1:", "not listed")

    def test_a_room_without_a_header_is_found(self):
        self.write("README.md", PLAN.replace("flat", "flat radix"))
        self.expect("README.md:1:", "no maps/radix.hpp")
        self.assertEqual(House(self.root, allow_missing=True).check(), [])

    def test_a_plan_that_cannot_be_read_is_refused(self):
        self.write("README.md", "nothing")
        self.expect("no ```floor-plan block")
        self.write("README.md", PLAN.replace("maps     <- core", "maps     <- roof"))
        self.expect("on floors above it", "roof")
        self.write("README.md", PLAN.replace("maps     <-", "maps     ->"))
        self.expect("not a line of a floor plan")
        self.write("README.md", PLAN.replace("align list", "align align list"))
        self.expect("listed twice")

    def test_pragma_once_comes_first(self):
        self.write("core/align.hpp", "// align.hpp -- what it is for.\n")
        violations = House(self.root).check()
        self.assertIn("#pragma once", violations[0])

    def test_the_head_names_the_file(self):
        self.write("core/align.hpp", "#pragma once\n\n// list.hpp -- what it is for.\n")
        self.expect("core/align.hpp:3:", "align.hpp --")

    def test_standard_headers_are_those_that_a_kernel_has(self):
        self.add("core/list", "#include <memory>")
        self.expect("core/list.hpp:7:", "<memory>")

    def test_a_hosted_header_stands_where_there_is_a_host(self):
        self.add("core/defect", "#include <cstdio>")
        self.expect("core/defect.hpp:8:", "<cstdio>")

    def test_no_other_room_asks_whether_there_is_a_host(self):
        self.add("core/list", "#include <cstdio>")
        self.expect("core/list.hpp:7:", "<cstdio>")

    def test_a_room_that_is_not_hosted_includes_none_that_is(self):
        self.add("backends/arena", "#include <slab_allocator/backends/pages.hpp>")
        self.expect("backends/arena.hpp:5:", "is not hosted")

    def test_the_preprocessor_decides_nothing(self):
        self.add("core/list", "#if 1", "#endif")
        violations = House(self.root).check()
        self.assertEqual(len(violations), 2, violations)
        self.assertIn("core/list.hpp:7: #if does not belong", violations[0])

    def test_there_are_no_macros(self):
        self.add("core/defect", "#define CHECK 1")
        self.expect("core/defect.hpp:8:", "#define does not belong")

    def test_reinterpret_cast_stays_in_its_rooms(self):
        self.add("maps/flat", "int* p = reinterpret_cast<int*>(0);")
        self.expect("maps/flat.hpp:5:", "reinterpret_cast")

    def test_a_door_opens_to_every_room(self):
        self.header("kernel", *HEADERS["kernel"][1:])
        self.expect("kernel.hpp:1:", "includes backends/arena, too")

    def test_the_kernels_door_opens_to_no_hosted_room(self):
        self.add("kernel", "#include <slab_allocator/backends/pages.hpp>")
        self.expect("kernel.hpp:10:", "does not include backends/pages")

    def test_a_door_includes_nothing_twice(self):
        self.add("slab_allocator", "#include <slab_allocator/kernel.hpp>")
        violations = House(self.root).check()
        self.assertEqual(len(violations), 2, violations)

    def test_a_door_includes_no_standard_header(self):
        self.add("kernel", "#include <cstddef>")
        self.expect("kernel.hpp:10:", "<cstddef>")

    def test_a_wide_line_is_found(self):
        tests = self.root / "tests"
        tests.mkdir()
        (tests / "wide.cpp").write_text("/" * 101 + "\n")
        self.expect("tests/wide.cpp:1:", "101 wide")


if __name__ == "__main__":
    unittest.main()
