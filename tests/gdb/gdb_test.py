"""What tools/gdb/slab_allocator_gdb.py shows of a program, of a core file, and of a kernel.

    python3 gdb_test.py Program COMPILER
    python3 gdb_test.py Kernel KERNEL QEMU

The program is debuggee.cpp, whose own table is the one that GDB must show.
"""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = SOURCE / "tools/gdb/slab_allocator_gdb.py"
GDB = shutil.which("gdb")
ARGUMENTS = []


def gdb(commands, *arguments):
    """What GDB prints, between lines of "== COMMAND", and what the program does."""
    command = [GDB, "-q", "-nx", "-batch", "-iex", "set debuginfod enabled off"]
    for text in ["set pagination off", "set width 0", "set confirm off", f"source {SCRIPT}", *commands]:
        if not text.startswith(("set ", "source ")):
            command += ["-ex", f"echo \\n== {text}\\n"]
        command += ["-ex", text]
    run = subprocess.run(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    parts = re.split(r"^== (.*)\n", run.stdout, flags=re.M)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2])}


LOOK = [
    "slab-caches app::small app::large app::debugged app::locked",
    "slab-caches",
    "slab-info app::live",
    "slab-info (char*)app::live + 5",
    "slab-info app::in_slab",
    "slab-info app::cached",
    "slab-info app::guarded",
    "slab-info (char*)app::guarded - 3 in app::debugged",
    "slab-info (char*)app::guarded + 70",
    "slab-caches app::heap",
    "slab-info (char*)app::block + 3",
    "slab-info app::freed_block",
    "slab-info (char*)app::guarded_block - 1",
    "slab-info app::guarded_block",
    "slab-info app::quarantined_block",
    "slab-info app::of_locked in app::locked",
    "slab-info &app::local",
    "slab-info 0",
    "slab-info app::small.front_.slabs_.lists_.lists_[0].sentinel_.next_",
    "slab-info app::large.front_.slabs_.lists_.lists_[0].sentinel_.next_",
    "slab-info app::live in app::large",
    "slab-caches app::per_cpu",
    "slab-info app::at_depot",
    "slab-info app::in_slot",
    "print app::per_cpu",
    "slab-caches app::heap_per_cpu",
    "slab-info app::in_front",
    "slab-map app::small",
    "slab-map app::large",
    "print app::small",
    "print app::large.front_.slabs_.lists_.lists_[0]",
    "print *(slab_allocator::SlabInfo*)app::large.front_.slabs_.lists_.lists_[0].sentinel_.next_",
]


class Program(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        (compiler,) = ARGUMENTS
        cls.folder = tempfile.TemporaryDirectory()
        cls.program = pathlib.Path(cls.folder.name) / "debuggee"
        core = pathlib.Path(cls.folder.name) / "core"
        source = SOURCE / "tests/gdb/debuggee.cpp"
        flags = ["-std=c++20", "-O2", "-g", f"-I{SOURCE / 'include'}"]
        subprocess.run([compiler, *flags, source, "-o", cls.program], check=True)
        cls.alive = gdb(
            ["break app::stop", "run", *LOOK, f"generate-core-file {core}", "finish", "continue"],
            cls.program,
        )
        cls.dead = gdb(LOOK, cls.program, core)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_the_table_is_the_one_that_the_program_prints(self):
        printed = self.alive["continue"]
        self.assertIn("app::small ", printed)
        tables = re.findall(r"^name .*\n(?:app::.*\n)+", printed, re.M)
        self.assertEqual([self.alive[LOOK[0]], self.alive["slab-caches app::heap"]], [t.strip() for t in tables])

    def test_every_cache_is_found(self):
        names = [line.split()[0] for line in self.alive["slab-caches"].splitlines()]
        for name in ["app::small", "app::large", "app::debugged", "app::locked", "app::per_cpu", "of_main"]:
            self.assertIn(name, names)
        self.assertIn("app::large.backend_.infos_", names)

    def test_a_core_file_shows_the_same(self):
        for command in LOOK:
            self.assertEqual(self.dead[command], self.alive[command], command)

    def says(self, command, *texts):
        for text in texts:
            self.assertRegex(self.alive[command], text)

    def test_an_address_leads_to_its_slab_and_slot(self):
        small = r" of app::small, SlabInfo 0x[0-9a-f]+\n  38 of 63 objects of the slab are taken\n"
        self.says("slab-info app::live", small, "slot [0-9]+: taken; the start of its object$")
        self.says("slab-info (char*)app::live + 5", "slot [0-9]+: taken; 5 bytes into its object$")
        self.says("slab-info app::in_slab", small, "slot [0-9]+: free; the start")
        self.says("slab-info app::cached", "of app::large", "free, cached; the start")
        self.says("slab-info app::of_locked in app::locked", "of app::locked, ", "\n  6 of 63 ", "taken")

    def test_a_block_of_a_heap_leads_to_its_class(self):
        self.says("slab-info (char*)app::block + 3", r"of app::heap-112, ", "taken; 3 bytes into its")
        self.says("slab-info app::freed_block", r"of app::heap-112, ", "free, cached; the")

    def test_a_block_with_guards_leads_to_its_class_and_waits_there_when_it_is_freed(self):
        self.says("slab-info (char*)app::guarded_block - 1", "of app::heap_debugged-", "taken; 1 bytes before its")
        self.says("slab-info app::guarded_block", "1 of .* are taken", "taken; the start of its")
        self.says("slab-info app::quarantined_block", "of app::heap_debugged-", "free, cached; the")

    def test_what_lies_in_magazines_is_free_and_said_to_be_there(self):
        row = self.alive["slab-caches app::per_cpu"].splitlines()[1].split()
        self.assertEqual(row[:2], ["app::per_cpu", "40"])
        self.says("slab-info app::at_depot", "of app::per_cpu, ", "free, in a magazine at the depot; the start")
        self.says("slab-info app::in_slot", "of app::per_cpu, ", "free, in a magazine of slot 0; the start")
        in_magazines = int(row[2]) - 40  # the slabs of that many: all that is not live
        said = re.search(r"63 to a Small slab of 4096: 40 live and (\d+) in magazines", self.alive["print app::per_cpu"])
        self.assertTrue(0 < int(said[1]) <= in_magazines, said)
        (row,) = [row.split() for row in self.alive["slab-caches app::heap_per_cpu"].splitlines()[1:]]
        self.assertEqual(row[:2], ["app::heap_per_cpu-112", "1"])
        self.says("slab-info app::in_front", "of app::heap_per_cpu-112, ", "free, in the front of slot 0; the start")

    def test_zones_around_an_object_are_told_apart(self):
        self.says("slab-info app::guarded", "of app::debugged", "taken; the start of its object$")
        self.says("slab-info (char*)app::guarded - 3 in app::debugged", "taken; 3 bytes before its object$")
        self.says("slab-info (char*)app::guarded + 70", "taken; 6 bytes behind its object$")

    def test_a_slab_info_in_its_slab_is_known(self):
        self.says("slab-info app::small.front_.slabs_.lists_.lists_[0].sentinel_.next_", "of app::small, ", "the SlabInfo; in it$")
        outside = self.alive["slab-info app::large.front_.slabs_.lists_.lists_[0].sentinel_.next_"]
        self.assertNotIn("of app::large, ", outside)

    def test_what_is_in_no_slab_is_said_to_be_in_none(self):
        for command in ["slab-info &app::local", "slab-info 0", "slab-info app::live in app::large"]:
            self.says(command, "^0x[0-9a-f]+ lies in no slab of the caches that are known$")

    def test_a_map_has_a_character_a_slab(self):
        self.assertEqual(self.alive["slab-map app::small"], "#6")
        self.assertEqual(self.alive["slab-map app::large"], "##3")

    def test_values_are_printed_in_words(self):
        self.says("print app::small", "cache of app::Object, 64 bytes, 63 to a Small slab of 4096: 101 live and 0 cached")
        self.says("print app::large.front_.slabs_.lists_.lists_[0]", "list of 2 = ")
        self.says(LOOK[-1], r"SlabInfo of slab 0x[0-9a-f]+: 0 slots free, 128 ever taken, on list 0")

    def test_what_is_overwritten_is_said_to_be(self):
        node = "app::large.front_.slabs_.lists_.lists_[0].sentinel_.next_"
        said = gdb(
            ["break app::stop", "run", f"set var {node}->next_ = 0", "slab-map app::large", "slab-caches app::small"],
            self.program,
        )
        self.assertIn("list 0 is overwritten at", said["slab-map app::large"])
        self.assertIn("app::small ", said["slab-caches app::small"])


class Kernel(unittest.TestCase):
    def test_a_kernel_is_shown_over_the_stub_of_qemu(self):
        kernel, qemu = ARGUMENTS
        with tempfile.TemporaryDirectory() as folder:
            socket = f"{folder}/gdb"
            machine = f"""{qemu} -machine q35 -accel tcg,thread=single -cpu max -smp 2 -m 64 -nodefaults
                -display none -monitor none -serial null -no-reboot -kernel {shlex.quote(str(kernel))} -S
                -chardev socket,path={socket},server=on,wait=off,id=gdb -gdb chardev:gdb
                -device isa-debug-exit,iobase=0xf4,iosize=4"""
            with subprocess.Popen(shlex.split(machine)) as process:
                try:
                    for _ in range(600):
                        if pathlib.Path(socket).exists():
                            break
                        subprocess.run(["sleep", "0.1"])
                    said = gdb(
                        [
                            f"target remote {socket}",
                            "hbreak on_defect",
                            "continue",
                            "slab-caches",
                            "slab-info report.pointer",
                            "print report.defect",
                            "kill",
                        ],
                        kernel,
                    )
                finally:
                    process.kill()
        self.assertRegex(said["slab-caches"], r"\nkernel::cache_of<kernel::ByMask, 48ul?>\.cache_ +[1-9]")
        self.assertRegex(said["print report.defect"], "slab_allocator::Defect::NeverAllocated")
        self.assertRegex(said["slab-info report.pointer"], "of kernel::cache_of<kernel::ByMask, 48")
        self.assertRegex(said["slab-info report.pointer"], ": free, never taken; the start of its")


def main():
    global ARGUMENTS
    case, *ARGUMENTS = sys.argv[1:]
    if GDB is None or "exited normally" not in gdb(["run"], "/bin/true").get("run", ""):
        print("gdb, or the right to trace programs, is not installed: skipped")
    elif ARGUMENTS[-1].endswith("NOTFOUND"):
        print("what the test needs is not installed: skipped")
    else:
        unittest.main(argv=[sys.argv[0], case])


if __name__ == "__main__":
    main()
