"""expect.py -- runs misuse.cpp under a sanitizer, and reads whether it reported what it must.

    python3 expect.py address  <program> <misuse.cpp>
    python3 expect.py memcheck <program> <misuse.cpp> <valgrind>

The program says "== place: kind" before each misuse, so what stands behind that is its report: the
first line of the stack must be the very line of misuse.cpp that reads, writes or branches. Behind
"== place: right" nothing may stand. Exits with 1 where a report is missing, or one too many.
"""

import os
import re
import subprocess
import sys

AT_LEAST = {"address": 90, "memcheck": 90}  # misuses, in all places


def line_of(source, comment):
    """The number of the line that ends with this comment."""
    with open(source, encoding="utf-8") as lines:
        (number,) = [n for n, line in enumerate(lines, 1) if line.rstrip().endswith("// " + comment)]
    return number


def run(tool, program, valgrind):
    if tool == "address":
        options = "halt_on_error=0:suppress_equal_pcs=0:symbolize=1:detect_leaks=0:exitcode=0"
        command, environment = [program], {**os.environ, "ASAN_OPTIONS": options}
    else:
        command = [valgrind, "--vex-guest-chase=no", "--leak-check=full", "--show-leak-kinds=definite", program, "memcheck"]
        environment = dict(os.environ)
    done = subprocess.run(command, env=environment, capture_output=True, timeout=600, check=False)
    return done.stderr.decode(errors="replace")


class Expectations:
    def __init__(self, tool, source):
        self.tool = tool
        self.file = os.path.basename(source)
        self.lines = {verb: line_of(source, verb) for verb in ("reads", "writes", "branches")}
        self.wrong, self.kinds = [], 0

    def check(self, name, report):
        kind = name.rpartition(": ")[2]
        if kind == "right":
            if re.search(r"ERROR|Invalid|uninitialised|at 0x", report):
                self.wrong.append(f"{name}: nothing is wrong, but reported was\n{report}")
            return
        self.kinds += 1
        for pattern in self.patterns(name, kind):
            if not re.search(pattern, report):
                self.wrong.append(f"{name}: no {pattern!r} in the report:\n{report or '(none)'}")

    def patterns(self, name, kind):
        if kind == "leaks":
            # One for each place, and none for what SlabInfos and other records of caches hold.
            yield r"(?s)definitely lost in loss record.*lose_one"
            yield r"definitely lost: \d+ bytes in 16 blocks"
            return
        function, verb = ("read_here", "reads") if "read" in kind else ("write_here", "writes")
        if kind == "uninitialised":
            function, verb = "branch_here", "branches"
        line = self.lines[verb]
        if self.tool == "address":
            access = {"reads": "READ", "writes": "WRITE"}[verb]
            yield rf"AddressSanitizer: use-after-poison on address 0x\w+"
            yield rf"{access} of size 1 at 0x\w+ thread T0\n    #0 \S+ in {function} .*{self.file}:{line}\b"
            return
        what = {"reads": "Invalid read of size 1", "writes": "Invalid write of size 1",
                "branches": "Conditional jump or move depends on uninitialised value"}[verb]
        yield rf"{what}.*\n==\d+==    at 0x\w+: {function} \(\S+:{line}\)"  # it errs in the file, where headers are inlined
        if name == "mmap: read after free":  # whose it was; malloc's pages are malloc's
            yield r"(?s)is \d+ bytes inside a block of size \d+ free'd\n.*free.*Block was alloc'd at"


def main(tool, program, source, valgrind=None):
    expectations = Expectations(tool, source)
    parts = re.split(r"^== (.*)\n", run(tool, program, valgrind), flags=re.MULTILINE)
    for name, report in zip(parts[1::2], parts[2::2]):
        if name != "the end: leaks" or tool == "memcheck":
            expectations.check(name, report)
    wrong = expectations.wrong
    if not parts[1:] or "the end" not in parts[-2]:
        wrong.append(f"the program did not come to its end:\n{parts[-1]}")
    if expectations.kinds < AT_LEAST[tool]:
        wrong.append(f"only {expectations.kinds} kinds were tried")
    print("\n".join(wrong) or f"{tool}: {expectations.kinds} misuses, each reported at its line")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
