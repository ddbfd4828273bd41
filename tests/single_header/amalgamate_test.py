"""amalgamate_test.py -- one file holds what the headers hold, and the check finds every difference.

    python3 tests/single_header/amalgamate_test.py

Each test builds a small library in a temporary folder and makes one file of it.
"""

import contextlib
import io
import pathlib
import re
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import amalgamate  # noqa: E402

HEADERS = {
    "version": [
        "",
        "#define SLAB_ALLOCATOR_VERSION_MAJOR 1",
        "#define SLAB_ALLOCATOR_VERSION_MINOR 22",
        "#define SLAB_ALLOCATOR_VERSION_PATCH 3",
    ],
    "kernel": [
        "",
        "#include <slab_allocator/core/list.hpp>",
        "#include <slab_allocator/version.hpp>",
    ],
    "slab_allocator": [
        "",
        "#include <slab_allocator/backends/pages.hpp>",
        "#include <slab_allocator/kernel.hpp>",
    ],
    "core/align": ["// Its head goes on.", "", "#include <cstddef>", "", "int align;"],
    "core/list": [
        "",
        "#include <cstddef>",
        "#include <new>",
        "",
        "#include <slab_allocator/core/align.hpp>",
        "",
        "int list;",
    ],
    "backends/pages": [
        "",
        "#include <sys/mman.h>",
        "",
        "#include <slab_allocator/core/list.hpp>",
        "",
        "int pages;",
    ],
}

SINGLE = "slab_allocator.hpp"
KERNEL = "slab_allocator_kernel.hpp"


class Amalgamate(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "LICENSE").write_text("Some License\n\nSome terms\n")
        for room, lines in HEADERS.items():
            self.header(room, *lines)

    def header(self, room, *lines):
        path = self.path(room)
        path.parent.mkdir(parents=True, exist_ok=True)
        head = ["#pragma once", "", f"// {path.name} -- what {room} is for."]
        path.write_text("\n".join([*head, *lines]) + "\n")

    def path(self, room):
        return self.root / "include" / "slab_allocator" / f"{room}.hpp"

    def text(self, file=SINGLE):
        return amalgamate.amalgamated(self.root)[file]

    def run_main(self, *arguments):
        """Its status, and what it prints."""
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            status = amalgamate.main([*arguments, "--root", str(self.root)])
        return status, printed.getvalue()

    def refused(self, *parts):
        status, printed = self.run_main()
        self.assertEqual(status, 1, printed)
        for part in parts:
            self.assertIn(part, printed)
        self.assertFalse((self.root / "single_include").exists())

    def test_each_header_stands_in_it_once_after_those_that_it_includes(self):
        heads = re.findall(r"^// (\w+)\.hpp -- ", self.text(), re.M)
        self.assertEqual(heads, ["slab_allocator", "version", "align", "list", "pages"])
        heads = re.findall(r"^// (\w+)\.hpp -- ", self.text(KERNEL), re.M)
        self.assertEqual(heads, ["slab_allocator_kernel", "version", "align", "list"])

    def test_what_is_neither_include_nor_pragma_stands_in_it_as_it_was(self):
        rooms = ["version", "core/align", "core/list", "backends/pages"]
        expected = [
            line
            for room in rooms
            for line in self.path(room).read_text().splitlines()
            if line and not line.startswith(("#include", "#pragma"))
        ]
        text = self.text()
        found = text[text.index("// version.hpp") :].removesuffix("#endif\n").splitlines()
        self.assertEqual([line for line in found if line], expected)

    def test_it_starts_with_its_purpose_the_version_and_the_license(self):
        head = self.text().split("\n\n")[:2]
        self.assertEqual(head[0], "#pragma once")
        for part in (
            "// slab_allocator.hpp -- what slab_allocator is for.",
            "// slab_allocator 1.22.3 ",
            "// SPDX-License-Identifier: MIT",
            "// Some License\n//\n// Some terms",
        ):
            self.assertIn(part, head[1])
        self.assertIn("kernel.hpp -- what kernel is for.", self.text(KERNEL))

    def test_there_is_one_pragma_once(self):
        self.assertEqual(self.text().count("#pragma"), 1)

    def test_standard_headers_stand_once_at_the_top(self):
        expected = "\n\n#include <sys/mman.h>\n\n#include <cstddef>\n#include <new>\n\n"
        self.assertEqual(self.text().count("#include"), 3)
        self.assertIn(expected, self.text().split("#define")[0])
        self.assertNotIn("mman", self.text(KERNEL))

    def test_a_conditional_include_goes_to_the_top_with_its_condition(self):
        block = ["#if __STDC_HOSTED__", "#include <cstdio>", "#endif"]
        self.header("core/align", *block, "int align;")
        self.header("core/list", *block, "#include <slab_allocator/core/align.hpp>", "int list;")
        top, rest = self.text().split("// version.hpp")
        self.assertIn("\n\n" + "\n".join(block) + "\n\n", top)
        self.assertEqual(self.text().count("#include <cstdio>"), 1)

    def test_a_conditional_include_of_what_is_included_anyway_is_left_out(self):
        self.header("core/align", "#ifdef __linux__", "#include <new>", "#endif", "int align;")
        self.assertNotIn("__linux__", self.text())

    def test_a_condition_on_the_librarys_own_macro_stays_behind_the_macro(self):
        block = ["#ifdef OWN", "#include <cstdio>", "#endif"]
        self.header("core/align", "#ifdef OTHER", "#define OWN 1", "#endif", *block, "int align;")
        self.assertIn("#define OWN 1\n#endif\n#ifdef OWN\n#include <cstdio>\n#endif", self.text())

    def test_a_conditional_block_of_code_stays_where_it_is(self):
        lines = ["int before;", "#if A", "#include <a>", "int code;", "#endif", "int after;"]
        self.header("core/align", *lines)
        self.assertIn("\n".join(lines), self.text())

    def test_a_block_in_a_block_goes_with_it(self):
        block = ["#if A", "#if B", "#include <b>", "#endif", "#include <a>", "#endif"]
        self.header("core/align", *block, "int after;")
        top, rest = self.text().split("// version.hpp")
        self.assertIn("\n\n" + "\n".join(block) + "\n\n", top)
        self.assertIn("\nint after;\n\n", rest)

    def test_a_gap_where_includes_stood_is_one_empty_line(self):
        self.assertNotIn("\n\n\n", self.text())
        self.assertIn("// Its head goes on.\n\nint align;\n\n", self.text())
        self.assertTrue(self.text().endswith("int pages;\n\n#endif\n"))

    def test_a_condition_on_an_own_include_is_refused(self):
        own = "#include <slab_allocator/core/align.hpp>"
        self.header("core/list", "#if A", own, "#endif")
        self.refused("core/list.hpp", "in an #if", "core/align.hpp")

    def test_a_header_that_is_not_there_is_refused(self):
        self.path("core/align").unlink()
        self.refused("there is no slab_allocator/core/align.hpp")

    def test_an_include_in_quotes_is_refused(self):
        self.header("core/list", '#include "align.hpp"')
        self.refused("core/list.hpp", "in quotes: align.hpp")

    def test_a_header_without_pragma_once_is_refused(self):
        self.path("core/list").write_text("int list;\n")
        self.refused("core/list.hpp", "#pragma once")

    def test_an_if_without_endif_is_refused(self):
        self.header("core/list", "#if A")
        self.refused("core/list.hpp", "without #endif")

    def test_line_ends_of_another_system_are_refused(self):
        self.path("core/list").write_bytes(b"#pragma once\r\nint list;\r\n")
        self.refused("core/list.hpp", "CR LF")

    def test_what_was_written_is_current(self):
        self.assertEqual(self.run_main(), (0, ""))
        self.assertEqual(self.run_main("--check"), (0, "The single headers are current.\n"))
        self.assertEqual((self.root / "single_include" / SINGLE).read_text(), self.text())
        self.assertEqual((self.root / "single_include" / KERNEL).read_text(), self.text(KERNEL))

    def test_a_changed_header_is_found(self):
        self.run_main()
        self.header("backends/pages", "int other;")
        status, printed = self.run_main("--check")
        self.assertEqual(status, 1)
        self.assertIn("+int other;", printed)
        self.assertIn(f"single_include/{SINGLE} is not current; run: ", printed)
        self.assertNotIn(KERNEL, printed)  # it has no backends/pages

    def test_a_changed_version_and_license_are_found(self):
        for change in ("include/slab_allocator/version.hpp", "LICENSE"):
            self.run_main()
            path = self.root / change
            path.write_text(path.read_text().replace("22", "23").replace("terms", "others"))
            status, printed = self.run_main("--check")
            self.assertEqual(status, 1)
            self.assertEqual(printed.count("is not current"), 2)

    def test_an_edit_of_the_file_itself_is_found(self):
        self.run_main()
        path = self.root / "single_include" / KERNEL
        path.write_text(path.read_text() + "int edited;\n")
        self.assertIn("-int edited;", self.run_main("--check")[1])

    def test_a_file_that_is_missing_or_made_of_nothing_is_found(self):
        self.run_main()
        folder = self.root / "single_include"
        (folder / KERNEL).rename(folder / "other.hpp")
        status, printed = self.run_main("--check")
        self.assertEqual(status, 1)
        self.assertIn(f"single_include/{KERNEL} is not current", printed)
        self.assertIn("single_include/other.hpp is made of nothing", printed)


class ThisLibrary(unittest.TestCase):
    def test_every_header_is_in_it(self):
        include = ROOT / "include"
        text = amalgamate.amalgamated(ROOT)[SINGLE]
        for path in include.rglob("*.hpp"):
            if path.name != "kernel.hpp":
                self.assertEqual(text.count(f"// {path.name} -- "), 1, path)


if __name__ == "__main__":
    unittest.main()
