"""The promises of examples/slabtop.

    python3 slabtop_test.py PROGRAM [unittest arguments]
"""

import json
import platform
import shutil
import subprocess
import sys
import unittest

PROGRAM = ""


# What a cache does follows from the addresses that it gets, and two runs are to be the same.
SAME_ADDRESSES = ["setarch", platform.machine(), "-R"]
if not shutil.which("setarch") or subprocess.run([*SAME_ADDRESSES, "true"], check=False).returncode:
    SAME_ADDRESSES = []


def run(*arguments):
    command = [*SAME_ADDRESSES, PROGRAM, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Slabtop(unittest.TestCase):
    def setUp(self):
        self.caches = json.loads(run("--json"))
        self.printed = run()

    def test_the_last_table_has_the_numbers_that_tools_get(self):
        table = self.printed[self.printed.rindex("\nname ") + 1 :].split("\n\n")[0].splitlines()
        self.assertEqual(len(table), 1 + len(self.caches))
        for line, cache in zip(table[1:], self.caches):
            name, *numbers = line.split()
            self.assertEqual(name, cache["name"])
            self.assertEqual([int(number) for number in numbers], list(cache.values())[1:10])

    def test_who_asks_for_help_gets_it(self):
        self.assertEqual(run("--help"), "usage: slabtop [--json]\n")

    def test_the_numbers_agree_with_one_another(self):
        for cache in self.caches:
            self.assertEqual(cache["allocated_objects_number"], 500)
            slabs = cache["slabs_number"]
            self.assertEqual(cache["objects_number"], slabs * cache["objects_per_slab"])
            self.assertEqual(cache["active_slabs_number"], slabs - cache["free_slabs_number"])
            objects = cache["objects_number"] * cache["object_size"]
            self.assertEqual(cache["bytes_held"], objects + cache["bytes_lost"])

    def test_the_maps_have_a_character_for_each_slab_and_slot(self):
        slabs, slots = self.printed.split("the slabs of requests\n")[-1].split("\n\n")
        self.assertEqual(len(slabs.replace("\n", "")), self.caches[1]["slabs_number"])
        self.assertRegex(slots, r"\Aslab 0x[0-9a-f]+, \d+ of 63 objects\n[#.,i]{64}\n\Z")
        self.assertEqual(slots.count("#"), int(slots.split(", ")[1].split(" of ")[0]))


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
