"""The version stands in version.hpp; what must repeat it agrees.

    python3 version_test.py
"""

import json
import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def text(file):
    return (SOURCE / file).read_text()


VERSION = ".".join(re.findall(r"^#define SLAB_ALLOCATOR_VERSION_\w+ (\d+)$",
                              text("include/slab_allocator/version.hpp"), re.MULTILINE))  # fmt: skip


class Version(unittest.TestCase):
    def test_it_is_a_semantic_version(self):
        self.assertRegex(VERSION, r"^\d+\.\d+\.\d+$")

    def test_the_port_for_vcpkg_has_it(self):
        (port,) = (SOURCE / "packaging/vcpkg/ports").iterdir()
        self.assertEqual(json.loads((port / "vcpkg.json").read_text())["version"], VERSION)

    def test_the_citation_has_it(self):
        self.assertRegex(text("CITATION.cff"), rf"(?m)^version: {re.escape(VERSION)}$")

    def test_the_changelog_has_it_newest_first(self):
        headings = re.findall(r"^## \[(\S+)\]", text("CHANGELOG.md"), re.MULTILINE)
        self.assertEqual(headings[:2], ["Unreleased", VERSION])
        numbers = [tuple(map(int, heading.split("."))) for heading in headings[1:]]
        self.assertEqual(numbers, sorted(numbers, reverse=True))

    def test_every_heading_of_the_changelog_is_one_of_keep_a_changelog(self):
        kinds = set(re.findall(r"^### (.*)$", text("CHANGELOG.md"), re.MULTILINE))
        self.assertLessEqual(kinds, set("Added Changed Deprecated Removed Fixed Security".split()))

    def test_conan_and_cmake_read_it(self):
        for file in ("conanfile.py", "CMakeLists.txt"):
            self.assertIn("slab_allocator/version.hpp", text(file))
            self.assertNotIn(VERSION, text(file))
        self.assertIn("@PROJECT_VERSION@", text("cmake/slab_allocator.pc.in"))


if __name__ == "__main__":
    unittest.main()
