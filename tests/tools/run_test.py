"""tools/run installs what is missing and nothing else, and says in a sentence what it cannot do.

    python3 run_test.py        on a machine of stand-ins: a PATH with the commands that a test puts there
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
OF_EVERY_MACHINE = "sh sed awk df date mkdir dirname cat grep tr wc readlink env chmod cp rm".split()
FOUND = {  # what a command says of itself
    "g++": "exit 0",
    "cmake": """case $1 in --version) echo "cmake version 3.25.1" ;; *) exit ${CMAKE_FAILS:-0} ;; esac""",
    "ninja": "exit 0",
    "python3": "exit 0",
}
OLD_CMAKE = 'case $1 in --version) echo "cmake version 3.18.4" ;; esac'


class Machine:
    """A folder with a checkout and the commands of a machine; each call of a command is written down."""

    def __init__(self, *commands):
        self.folder = tempfile.TemporaryDirectory(prefix="a machine ")
        self.root = pathlib.Path(self.folder.name)
        self.bin, self.shop, self.calls = self.root / "bin", self.root / "shop", self.root / "calls"
        self.checkout = self.root / "a checkout"
        for directory in (self.bin, self.shop, self.checkout / "tools"):
            directory.mkdir(parents=True)
        shutil.copy(SOURCE / "tools/run", self.checkout / "tools/run")
        self.calls.write_text("")
        for name in OF_EVERY_MACHINE:
            (self.bin / name).symlink_to(shutil.which(name))
        self.add("id", "echo 0")
        for name, body in FOUND.items():
            self.add(name, body, where=self.bin if name in commands else self.shop)

    def add(self, name, body, where=None):
        script = (where or self.bin) / name
        script.unlink(missing_ok=True)
        script.write_text(f'#!/bin/sh\necho "{name} $*" >> "{self.calls}"\n{body}\n')
        script.chmod(0o755)

    def add_apt(self, result="cp"):
        """It brings what is in the shop, or fails."""
        install = {"cp": f'cp "{self.shop}"/* "{self.bin}"', "fails": "echo no network >&2; exit 100"}[result]
        self.add("apt-get", f'case "$*" in *install*) {install} ;; *update*) {"exit 0" if result == "cp" else install} ;; esac')

    def be_user(self):
        self.add("id", "echo 1000")

    def run(self, *words, script=None, folder=None, **environment):
        return subprocess.run(
            ["sh", str(script or self.checkout / "tools/run"), *words], cwd=folder or self.root,
            env={"PATH": str(self.bin), **environment}, capture_output=True, text=True, check=False)  # fmt: skip

    def called(self, name):
        return [line for line in self.calls.read_text().splitlines() if line.startswith(name + " ")]

    def workflows(self):
        return [line for line in self.called("cmake") if "--workflow" in line]


class Run(unittest.TestCase):
    def machine(self, *commands):
        machine = Machine(*commands)
        self.addCleanup(machine.folder.cleanup)
        return machine

    def assert_stops(self, done, sentence):
        self.assertEqual(done.returncode, 1, done)
        self.assertIn(sentence, done.stderr)
        self.assertEqual(len([line for line in done.stderr.splitlines() if line.startswith("tools/run: ")]), 1)

    def test_a_wrong_word_is_answered_with_the_usage_and_2(self):
        machine = self.machine(*FOUND)
        for words in ([], ["test"], ["tests", "now"], [""]):
            done = machine.run(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertIn("usage: tools/run COMMAND", done.stderr)
        self.assertEqual(machine.workflows(), [])

    def test_who_asks_for_help_gets_it(self):
        for word in ("--help", "-h", "help"):
            done = self.machine().run(word)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("usage: tools/run COMMAND", done.stdout)

    def test_where_everything_is_there_nothing_is_installed(self):
        machine = self.machine(*FOUND)
        machine.add_apt("fails")
        for word, preset in {"tests": "quick", "example": "example"}.items():
            done = machine.run(word)
            self.assertEqual(done.returncode, 0, done)
            self.assertEqual(machine.workflows()[-1], f"cmake --workflow --preset {preset}")
            self.assertRegex(done.stdout, rf"tools/run: {word} took \d+ seconds\n$")
        self.assertEqual(machine.called("apt-get"), [])

    def test_it_works_from_any_folder_and_by_a_link(self):
        machine = self.machine(*FOUND)
        machine.add("cmake", 'case $1 in --version) echo "cmake version 4.0.0" ;; *) echo "in $PWD" ;; esac')
        link, second = machine.root / "link", machine.root / "second"
        link.symlink_to(machine.checkout / "tools/run")
        second.symlink_to("link")
        folder_link = machine.root / "t"
        folder_link.symlink_to(machine.checkout / "tools")
        for script in (None, link, second, folder_link / "run"):
            for folder in ("/", machine.root, machine.checkout / "tools"):
                done = machine.run("example", script=script, folder=folder)
                self.assertIn(f"in {machine.checkout}\n", done.stdout)

    def test_the_status_is_that_of_the_tests(self):
        self.assertEqual(self.machine(*FOUND).run("tests", CMAKE_FAILS="8").returncode, 8)

    def test_root_installs_what_is_missing_and_no_more(self):
        machine = self.machine("g++", "ninja")
        machine.add_apt()
        done = machine.run("tests")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("tools/run: installing cmake python3\n", done.stdout)
        update, install = machine.called("apt-get")
        self.assertTrue(update.endswith(" update"), update)
        self.assertTrue(install.endswith("install -y --no-install-recommends cmake python3"), install)
        machine.run("tests")
        self.assertEqual(len(machine.called("apt-get")), 2)  # and not again

    def test_an_ordinary_user_installs_with_sudo(self):
        machine = self.machine()
        machine.add_apt()
        machine.be_user()
        machine.add("sudo", 'exec "$@"')
        self.assertEqual(machine.run("example").returncode, 0)
        self.assertIn("g++ cmake ninja-build", machine.called("sudo")[-1])

    def test_without_sudo_the_user_is_told_what_root_would_do(self):
        machine = self.machine("g++", "cmake", "ninja")
        machine.add_apt()
        machine.be_user()
        self.assert_stops(machine.run("tests"), "as root: apt-get install python3")
        self.assertEqual(machine.called("apt-get"), [])

    def test_without_a_network_it_stops(self):
        machine = self.machine()
        machine.add_apt("fails")
        self.assert_stops(machine.run("tests"), "is there a network, and space?")
        self.assertEqual(machine.workflows(), [])

    def test_other_systems_are_told_their_names(self):
        for manager, command in {
            "dnf": "sudo dnf install gcc-c++ cmake ninja-build catch-devel python3",
            "pacman": "sudo pacman -S gcc cmake ninja catch2 python",
            "zypper": "sudo zypper install gcc-c++ cmake ninja catch2-devel python3",
            "apk": "sudo apk add g++ cmake ninja catch2-3 python3",
            "brew": "brew install gcc cmake ninja catch2 python",
        }.items():
            machine = self.machine()
            machine.add(manager, "exit 0")
            self.assert_stops(machine.run("tests"), f"Install with: {command}")
            self.assertEqual(machine.called(manager), [])
        self.assert_stops(self.machine().run("tests"), "CMake 3.25, Ninja, Catch2, Python 3.9")

    def test_an_old_cmake_is_as_good_as_none(self):
        machine = self.machine(*FOUND)
        machine.add("cmake", OLD_CMAKE)
        machine.add("apt-get", "exit 0")  # it has no newer one
        self.assert_stops(machine.run("tests"), "missing or too old: cmake (needed: ")
        self.assertEqual(len(machine.called("apt-get")), 2)

    def test_a_compiler_of_the_users_is_taken_or_refused(self):
        machine = self.machine(*FOUND)
        machine.add_apt("fails")
        self.assert_stops(machine.run("tests", CXX="cc++"), "CXX is cc++, which is no C++20 compiler")
        machine.add("cc++", "exit 1")
        self.assert_stops(machine.run("tests", CXX="cc++"), "CXX is cc++, which is no C++20 compiler")
        machine.add("cc++", "exit 0")
        self.assertEqual(machine.run("tests", CXX="cc++").returncode, 0)

    def test_a_folder_that_cannot_be_written_is_named(self):
        machine = self.machine(*FOUND)
        (machine.checkout / "build").write_text("")
        self.assert_stops(machine.run("tests"), f"{machine.checkout} cannot be written: copy it")

    def test_a_full_disk_is_told_in_megabytes(self):
        machine = self.machine(*FOUND)
        machine.add("df", "printf 'Filesystem blocks used free\\ndisk 9000000 8990000 10240 99%% /\\n'")
        self.assert_stops(machine.run("tests"), f"1000 MB are needed in {machine.checkout}, and 10 MB are free")
        self.assertEqual(machine.workflows(), [])


if __name__ == "__main__":
    unittest.main()
