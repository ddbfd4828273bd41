"""For Doxygen: the head of a header describes its file, and the type that the file is named after.

    python3 tools/doxygen_filter.py HEADER       see Doxyfile, INPUT_FILTER

The heads are written for who reads the file: a line of purpose, drawings, invariants. Here they
become comments that Doxygen reads, with the drawings left as they are.
"""

import pathlib
import re
import sys


def head_of(text):
    """The purpose and the rest of the head: "// name.hpp -- purpose" and the lines behind it."""
    match = re.match(r"#pragma once\n\n((?://[^\n]*\n)+)", text)
    if match is None:
        return "", ""
    lines = [line[3:] for line in match[1].splitlines()]
    purpose = " ".join(lines[: lines.index("") if "" in lines else len(lines)])
    rest = "\n".join(lines[lines.index("") :]) if "" in lines else ""
    return purpose.partition(" -- ")[2], rest.strip("\n")


def comment(purpose, rest, command=""):
    drawn = f"\n\n@verbatim\n{rest}\n@endverbatim" if rest else ""
    return f"/** {command}@brief {purpose[:1].upper()}{purpose[1:]}{drawn}\n*/\n"


def type_of(stem):
    return "".join(part.capitalize() for part in stem.split("_"))


def start_of(lines, name):
    """The line where the declaration of the type begins, its template head too; None: no such type."""
    for number, line in enumerate(lines):
        if re.match(rf"(class|struct)( alignas\(\w+\))? {name}\b(?!<)[^;]*$", line):
            while re.match(r"template|\s+requires|\s+\S.*\)$", lines[number - 1]):
                number -= 1
            return number
    return None


def filtered(path):
    text = path.read_text()
    purpose, rest = head_of(text)
    if not purpose:
        return text
    lines = text.splitlines()
    start = start_of(lines, type_of(path.stem))
    if start is not None and not lines[start - 1].startswith("///"):
        lines.insert(start, comment(purpose, rest))
    return comment(purpose, rest, "@file\n") + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(filtered(pathlib.Path(sys.argv[1])))
