"""What README.md shows is what the files are, and what the programs print.

    python3 readme_test.py EXAMPLES [--update] [unittest arguments]

EXAMPLES is the directory of the built examples. A block of the README that is not written by hand has
a comment before it that says where it comes from:

    <!-- from FILE: NAME -->             the lines of FILE between // [NAME] and // [/NAME]
    <!-- printed by PROGRAM ARGUMENTS -->  what the example prints, standard error included
    <!-- said by g++ of FILE -->          each line occurs in what g++ says of FILE

--update writes the first two kinds anew.
"""

import json
import pathlib
import re
import subprocess
import sys
import textwrap
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
README = SOURCE / "README.md"
EXAMPLES = pathlib.Path()

BLOCK = re.compile(
    r"(?:^<!-- (?P<origin>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def marked(file, name):
    """The lines between the marks, without the indentation that they have in common."""
    text = (SOURCE / file).read_text()
    parts = re.findall(
        rf"^ *// \[{re.escape(name)}\]\n(.*?)^ *// \[/{re.escape(name)}\]$", text, re.M | re.S
    )
    if len(parts) != 1:
        raise AssertionError(f"{file} has {len(parts)} parts that are marked [{name}]")
    return textwrap.dedent(parts[0])


def printed(program, *arguments):
    return subprocess.run(
        [EXAMPLES / program, *arguments],
        check=True,
        cwd=SOURCE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout


def original(origin):
    """What a block must be; None where it is not given by its origin alone."""
    if match := re.fullmatch(r"from (\S+): (.+)", origin):
        return marked(*match.groups())
    if match := re.fullmatch(r"printed by (.+)", origin):
        return printed(*match.group(1).split())
    if re.fullmatch(r"said by g\+\+ of \S+", origin):
        return None
    raise AssertionError(f"README.md: what is <!-- {origin} -->?")


def update():
    def anew(match):
        text = match["origin"] and original(match["origin"])
        if text is None:
            return match[0]
        return f"<!-- {match['origin']} -->\n```{match['language']}\n{text}```"

    README.write_text(BLOCK.sub(anew, README.read_text()))


class Quotations(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.text = README.read_text()
        self.blocks = list(BLOCK.finditer(self.text))

    def test_blocks_are_what_their_files_say_and_their_programs_print(self):
        origins = [block["origin"] for block in self.blocks if block["origin"]]
        self.assertEqual(len(origins), self.text.count("<!-- "), "a comment without its block")
        for block in self.blocks:
            text = block["origin"] and original(block["origin"])
            if text is not None:
                self.assertEqual(block["text"], text, f"<!-- {block['origin']} -->")

    def test_every_cpp_block_is_from_a_file(self):
        for block in self.blocks:
            if block["language"] == "cpp":
                self.assertRegex(block["origin"] or "", r"^from \S+\.cpp: ", block["text"])

    def test_the_twenty_lines_are_a_whole_program(self):
        self.assertEqual(self.blocks[0]["origin"], "from examples/first.cpp: first")
        self.assertIn("int main()", self.blocks[0]["text"])
        self.assertLessEqual(self.blocks[0]["text"].count("\n"), 22)

    def test_the_compiler_says_what_it_is_quoted_with(self):
        number = 0
        for block in self.blocks:
            if match := re.fullmatch(r"said by g\+\+ of (\S+)", block["origin"] or ""):
                number += 1
                said = subprocess.run(
                    ["g++", "-std=c++20", "-fsyntax-only", "-I", SOURCE / "include", match[1]],
                    cwd=SOURCE,
                    env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
                    capture_output=True,
                    text=True,
                )
                self.assertNotEqual(said.returncode, 0)
                for line in block["text"].splitlines():
                    self.assertIn(line, said.stderr)
        self.assertGreater(number, 0)

    def test_every_preset_that_is_named_exists(self):
        presets = json.loads((SOURCE / "CMakePresets.json").read_text())["workflowPresets"]
        named = re.findall(r"cmake --workflow --preset ([\w-]+)", self.text)
        self.assertLessEqual({"example", "tests"}, set(named))
        self.assertLessEqual(set(named), {preset["name"] for preset in presets})

    def test_every_file_that_is_named_exists(self):
        for target in re.findall(r"\]\(([^)#]+)", self.text):
            if "://" not in target:
                self.assertTrue((SOURCE / target).exists(), target)


class Tables(unittest.TestCase):
    def setUp(self):
        rows = re.findall(r"^\| *(.*?) *\|$", README.read_text(), re.M)
        self.rows = [re.split(r" *\| *", row) for row in rows]

    def core(self, file):
        return (SOURCE / "include/slab_allocator/core" / file).read_text()

    def test_every_defect_has_its_row(self):
        body = re.search(r"enum class Defect[^{]*\{(.*?)\};", self.core("defect.hpp"), re.S)[1]
        defects = [name for name in re.findall(r"^ *(\w+),", body, re.M) if name != "None"]
        named = [row[0].strip("`") for row in self.rows if row[0].strip("`") in defects]
        self.assertEqual(named, defects)

    def test_every_member_of_the_configuration_has_its_row_and_its_default(self):
        body = re.search(r"struct CacheConfig \{(.*?)\n    friend", self.core("config.hpp"), re.S)[1]
        members = re.findall(r"^    [\w:]+ (\w+) = ([\w:]+);", body, re.M)
        rows = [(row[0].strip("`"), row[-1].strip("`")) for row in self.rows]
        self.assertGreater(len(members), 5)
        self.assertEqual([row for row in rows if row[0] in dict(members)], members)

    def test_every_function_of_a_backend_is_in_both_tables(self):
        header = self.core("memory_backend.hpp")
        functions = re.search(r"namespace backend_has \{(.*?)\n\}  //", header, re.S)[1]
        names = re.findall(r"^concept (\w+) =", functions, re.M)
        self.assertIn("alloc_slab", names)
        for name in names:
            self.assertTrue(any(row[0].startswith(f"`{name}(") for row in self.rows), name)
            self.assertTrue(any(f"`{name}`" in row[-1] for row in self.rows), name)

    def test_every_public_member_of_a_cache_is_in_its_table(self):
        public = self.core("cache.hpp").split("public:")[1].split("private:")[0]
        names = set(re.findall(r"^    (?:\[\[nodiscard\]\] )?\w[\w<>:*&, ]*?\b([a-z]\w*)\(", public, re.M))
        names -= {"requires", "noexcept"}
        self.assertIn("shrink_to_fit", names)
        for name in names:
            self.assertTrue(any(f"`{name}(" in row[0] for row in self.rows), name)


if __name__ == "__main__":
    EXAMPLES = pathlib.Path(sys.argv.pop(1))
    if "--update" in sys.argv:
        update()
    else:
        unittest.main()
