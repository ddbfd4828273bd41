"""The promises of examples/layout: its numbers are those of the caches that one then has.

    python3 layout_test.py PROGRAM COMPILER [unittest arguments]
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = COMPILER = ""
INCLUDE = pathlib.Path(__file__).resolve().parents[2] / "include"

# What is asked, and the same as a configuration of a cache.
CASES = {
    "1": "1, 1, CacheConfig{}",
    "48 16": "48, 16, CacheConfig{}",
    "48 16 --slab-size 8192 --large": "48, 16, CacheConfig{.slab_size = 8192, .object_size_type = ObjectSizeType::Large}",
    "24 --small --page-size 16384": "24, 8, CacheConfig{.page_size = 16384, .object_size_type = ObjectSizeType::Small}",
    "1000 --slab-alignment 4096": "1000, 8, CacheConfig{.slab_alignment = 4096}",
    "64 64 --slab-size 8192 --page-frames": "64, 64, CacheConfig{.slab_size = 8192, .slab_info_lookup = SlabInfoLookup::PageFrames}",
    "40 --checks debug": "40, 8, CacheConfig{.checks = Checks::debug}",
    "200000": "200000, 16, CacheConfig{}",
}


def run(arguments):
    return subprocess.run([PROGRAM, *arguments.split()], capture_output=True, text=True)


class Layout(unittest.TestCase):
    def test_the_numbers_are_those_of_a_cache(self):
        checks = []
        for arguments, config in CASES.items():
            said = json.loads(run(f"{arguments} --json").stdout)
            small = "ObjectSizeType::" + said["object_size_type"]
            checks.append(
                f"static_assert(layout_for({config}).objects_per_slab == {said['objects_per_slab']});"
                f"static_assert(Of<{config}>::objects_per_slab() == {said['objects_per_slab']});"
                f"static_assert(Of<{config}>::slab_size() == {said['slab_size']});"
                f"static_assert(Of<{config}>::object_size_type() == {small});"
                f"static_assert(layout_for({config}).bytes_lost_per_slab() == {said['bytes_lost_per_slab']});"
                f"static_assert(layout_for({config}).uses_map() == {said['uses_map']:d});"
            )
        source = """
            #include <slab_allocator/core/cache.hpp>
            using namespace slab_allocator;
            template <std::size_t size, std::size_t alignment>
            struct alignas(alignment) Object { std::byte bytes[size]; };
            struct Backend {
                void* alloc_slab(std::size_t, std::size_t);
                void free_slab(void*, std::size_t, std::size_t);
                SlabInfo* alloc_slab_info();
                void free_slab_info(SlabInfo*);
                bool save_slab_info_ptr(std::uintptr_t, SlabInfo*);
                SlabInfo* get_slab_info_ptr(std::uintptr_t);
                void delete_slab_info_ptr(std::uintptr_t);
                SlabInfo* slab_info_at(std::uintptr_t);
            };
            template <std::size_t size, std::size_t alignment, CacheConfig config>
            using Of = Cache<Object<size, alignment>, Backend, config>;
        """
        command = [COMPILER, "-std=c++20", "-fsyntax-only", f"-I{INCLUDE}", "-xc++", "-"]
        compiled = subprocess.run(
            command, input=source + "\n".join(checks), capture_output=True, text=True
        )
        self.assertEqual(compiled.returncode, 0, compiled.stderr)

    def test_the_table_marks_what_was_chosen(self):
        for arguments in CASES:
            text = run(arguments).stdout
            chosen = re.findall(r"(\d+) +[\d.]+%\*", text)
            self.assertEqual(len(chosen), 1, text)
            self.assertIn(f"objects  {chosen[0]} to a slab\n", text)

    def test_what_cannot_work_is_refused_in_words(self):
        refused = run("64 --slab-size 5000")
        self.assertEqual(refused.returncode, 1)
        self.assertEqual(refused.stderr, "layout: slab_size must be a power of two\n")
        for arguments in ["", "x", "0", "64 3", "64 --slab-size", "64 --small 2 3", "64 --what"]:
            refused = run(arguments)
            self.assertEqual(refused.returncode, 2, arguments)
            self.assertIn("usage: layout SIZE", refused.stderr)

    def test_who_asks_for_help_gets_it(self):
        told = run("--help")
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        self.assertIn("usage: layout SIZE", told.stdout)


if __name__ == "__main__":
    PROGRAM, COMPILER = sys.argv[1:3]
    del sys.argv[1:3]
    unittest.main()
