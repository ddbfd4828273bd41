"""lines_check.py -- what libslab_malloc says of each defect, and where.

    lines_check.py wrong_programs level=library...

Runs the program once for each kind of wrong call, with each library loaded before it, and looks at
the line: it names what is wrong in malloc's words, and no cache, slab or alloc(). At level debug it
names the functions that allocated and freed, as places in the program.
"""

import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import tempfile

GUARDED = {"hardened", "debug"}
CHECKED = {"misuse", "hardened", "debug"}
ADDRESS = "0x[0-9a-f]+"
BLOCK = f"the block at {ADDRESS}"

# Name of the wrong call: levels that find it, and the line.
LINES = {
    "double_free": (CHECKED, f"double free: {BLOCK} is free already"),
    "double_free_delayed": (CHECKED, f"double free: {BLOCK} is free already"),
    "double_free_large": (
        CHECKED,
        f"invalid pointer: no block starts at {ADDRESS}: malloc never gave it, or it was a large "
        "block that was freed before",
    ),
    "interior": (
        CHECKED,
        f"invalid pointer: {ADDRESS} is inside of the block of [0-9]+ bytes that starts at (?P<start>{ADDRESS})",
    ),
    "interior_large": (
        CHECKED,
        f"invalid pointer: {ADDRESS} is inside of the block of 102400 bytes that starts at (?P<start>{ADDRESS})",
    ),
    "never_allocated": ({"misuse", "hardened"}, f"invalid pointer: no block was ever allocated at {ADDRESS}"),
    "stack": (CHECKED, f"invalid pointer: {ADDRESS} is on the stack, malloc gave no such"),
    "variable": (
        CHECKED,
        rf"invalid pointer: {ADDRESS} \(wrong_programs\+{ADDRESS}\) is a variable or code, malloc gave no such",
    ),
    "number": (CHECKED, "invalid pointer: no block starts at 0x1: malloc never gave it, or .*"),
    "realloc_freed": (CHECKED, f"double free: {BLOCK} is free already"),
    "usable_size_freed": (CHECKED, f"double free: {BLOCK} is free already"),
    "wrong_size": (
        CHECKED,
        f"wrong size: {BLOCK} is freed with another size than it has, [0-9]+ bytes rounded up",
    ),
    "overrun": (GUARDED, f"overrun: byte (40|[45][0-9]) of {BLOCK} was written, behind its end"),
    "underrun": ({"debug"}, f"underrun: byte -1 of {BLOCK} was written, before its start"),
    "write_after_free": (GUARDED, f"write after free: byte 7 of {BLOCK} was written after its free"),
    "long_overrun": (GUARDED, f"overrun: byte (40|[45][0-9]) of {BLOCK} was written, behind its end"),
}
BY = rf"(?:{ADDRESS} \((?P<%s>[^+)]+)\+(?P<%s_offset>{ADDRESS})\))"
WHO = re.compile(
    r"(?:; allocated by " + BY % ("allocated", "allocated") + r")?(?:; freed by " + BY % ("freed", "freed") + ")?"
)
FREED = {"double_free", "double_free_delayed", "realloc_freed", "usable_size_freed", "write_after_free"}
ALLOCATED = FREED | {"overrun", "underrun"}
# How a block is asked for, each from a function of its own.
WAYS = "malloc calloc realloc reallocarray aligned_alloc memalign posix_memalign valloc pvalloc".split()
WAYS += "new new_array new_nothrow new_aligned".split()

wrong = 0


def complain(what):
    global wrong
    wrong += 1
    print(what)


def run(program, library, *arguments):
    environment = dict(os.environ, LD_PRELOAD=library)
    return subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def symbols(program):
    """Every function of the program: name, first address, end."""
    listing = subprocess.run(["nm", "-S", program], capture_output=True, text=True, check=True).stdout
    rows = [row.split() for row in listing.splitlines()]
    return [(row[3], int(row[0], 16), int(row[0], 16) + int(row[1], 16)) for row in rows if len(row) == 4]


def is_in(functions, name, offset):
    """Does a call in the function return to the offset?"""
    return any(name == symbol and begin < offset <= end for symbol, begin, end in functions)


def check_lines(program, functions, level, library):
    for name, (levels, line) in LINES.items():
        if level not in levels:
            continue
        result = run(program, library, name)
        text = result.stderr
        where = f"{level}, {name}: "
        if result.returncode != -signal.SIGABRT:
            complain(f"{where}ended with {result.returncode}: {text}")
            continue
        match = re.fullmatch(f"slab_malloc: {line}(?P<who>.*)\n", text)
        if match is None:
            complain(f"{where}it says: {text}")
            continue
        if "start" in match.groupdict() and match["start"] != result.stdout.strip():
            complain(f"{where}the block started at {result.stdout}: {text}")
        if level != "debug" and match["who"] != "" and not line.endswith(".*"):
            complain(f"{where}it says: {text}")
        if level == "debug" and name in ALLOCATED:
            who = WHO.fullmatch(match["who"])
            if who is None or who["allocated"] != "wrong_programs" or not is_in(
                functions, "allocate_here", int(who["allocated_offset"], 16)
            ):
                complain(f"{where}allocated by another: {text}")
            elif name in FREED and (
                who["freed"] != "wrong_programs"
                or not is_in(functions, "free_here", int(who["freed_offset"], 16))
            ):
                complain(f"{where}freed by another: {text}")
        if name == "long_overrun" and "4141" in match["who"]:
            complain(f"{where}an overwritten address: {text}")


def check_callers(program, functions, library):
    for way in WAYS:
        text = run(program, library, "by_way_of", way).stderr
        match = re.search(r"; allocated by " + BY % ("file", "file"), text)
        if match is None or not is_in(functions, f"by_{way}", int(match["file_offset"], 16)):
            complain(f"debug, {way}: allocated by another: {text}")


def check_places(program, library):
    """Where the line goes."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "file"

        def says(how):
            file.write_bytes(b"")
            text = run(program, library, "with_stderr", how, str(file)).stderr
            return "error" * ("double free" in text) + "file" * ("double free" in file.read_text())

        for how, expected in {
            "as_it_is": "error",
            "closed": "",
            "data": "",  # closed, and the next file that was opened has the number
            "log": "file",  # opened to append
            "both": "file",  # 1 and 2 lead to the same
        }.items():
            if says(how) != expected:
                complain(f"standard error {how}: the line goes to '{says(how)}', not to '{expected}'")

        file.write_bytes(b"")
        child, terminal = pty.fork()
        if child == 0:
            os.environ["LD_PRELOAD"] = library
            os.execv(program, [program, "with_stderr", "data", str(file)])
        text = b""
        try:
            while part := os.read(terminal, 4096):
                text += part
        except OSError:
            pass
        os.waitpid(child, 0)
        if b"double free" not in text or file.read_bytes() != b"":
            complain(f"the terminal shows {text}, the file has {file.read_bytes()}")


def main():
    if "--help" in sys.argv:
        print(__doc__.strip())
        return 0
    program = os.path.abspath(sys.argv[1])
    functions = symbols(program)
    for pair in sys.argv[2:]:
        level, library = pair.split("=", 1)
        if " " in library:  # the loader takes a space for the end of a name
            os.chdir(os.path.dirname(library))
            library = f"./{os.path.basename(library)}"
        check_lines(program, functions, level, library)
        if level == "debug":
            check_callers(program, functions, library)
        if level == "misuse":
            check_places(program, library)
    print(f"{wrong} failures")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
