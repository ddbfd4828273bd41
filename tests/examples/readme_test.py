"""What README.md, CONTRIBUTING.md and docs/ show is what the files are, and what the programs print.

    python3 readme_test.py EXAMPLES [--update] [unittest arguments]

EXAMPLES is the directory of the built examples. A block of such a page has a comment before it that
says where it comes from:

    <!-- from FILE: NAME -->               the lines of FILE between // [NAME] and // [/NAME]
    <!-- from FILE -->                     all of FILE
    <!-- printed by PROGRAM ARGUMENTS -->  what the example prints, standard error included
    <!-- printed by PROGRAM ARGUMENTS, but for its numbers -->  the same, for addresses and times
    <!-- said by g++ of FILE -->           each line occurs in what g++ says of FILE
    <!-- not ours: WHAT IT IS -->          for the code of others, to compare with

In a file where # begins a comment, # stands for //. Two kinds of block need no comment: ```sh, which
are commands for the reader to type, and ``` without a language, which are drawings.

--update writes the first four kinds anew.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
README = SOURCE / "README.md"
EXAMPLES = pathlib.Path()


def pages():
    """Every page for users: the README first."""
    yield README
    yield from sorted(SOURCE.glob("CONTRIBUTING.md"))
    yield from sorted((SOURCE / "docs").rglob("*.md"))


BLOCK = re.compile(
    r"(?:^<!-- (?P<origin>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r" *\b(?:0x[0-9a-f]+|\d+(?:\.\d+)?)\b")
BUT_FOR_NUMBERS = ", but for its numbers"
TOP_LEVEL = "include tests bench examples tools docs modules single_include packaging cmake".split()


def marked(file, name):
    """The lines between the marks, without the indentation that they have in common."""
    text = (SOURCE / file).read_text()
    parts = re.findall(
        rf"^ *(?://|#) \[{re.escape(name)}\]\n(.*?)^ *(?://|#) \[/{re.escape(name)}\]$",
        text,
        re.M | re.S,
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
    if match := re.fullmatch(r"from (\S+)", origin):
        return (SOURCE / match[1]).read_text()
    if match := re.fullmatch(r"printed by (.+)", origin):
        return printed(*match[1].removesuffix(BUT_FOR_NUMBERS).split())
    if re.fullmatch(r"said by g\+\+ of \S+|not ours: .+", origin):
        return None
    raise AssertionError(f"what is <!-- {origin} -->?")


def is_as(block, text):
    """Does a block show `text`, or is it the same but for its numbers, where its origin says so?"""
    if block["origin"].endswith(BUT_FOR_NUMBERS):
        return NUMBER.sub("#", block["text"]) == NUMBER.sub("#", text)
    return block["text"] == text


def update():
    def anew(match):
        text = match["origin"] and original(match["origin"])
        if text is None or is_as(match, text):
            return match[0]
        return f"<!-- {match['origin']} -->\n```{match['language']}\n{text}```"

    for page in pages():
        page.write_text(BLOCK.sub(anew, page.read_text()))


class Page:
    def __init__(self, path):
        self.path = path
        self.name = path.relative_to(SOURCE).as_posix()
        self.text = path.read_text()
        self.blocks = list(BLOCK.finditer(self.text))
        self.prose = BLOCK.sub("", self.text)

    def anchors(self):
        """Those that GitHub makes of the headings."""
        headings = re.findall(r"^#+ (.*)$", self.prose, re.M)
        return [re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings]


def of_each_page(test):
    def of_all(self):
        for page in self.pages:
            with self.subTest(page=page.name):
                test(self, page)

    return of_all


class Quotations(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.pages = [Page(path) for path in pages()]
        self.readme = self.pages[0]

    @of_each_page
    def test_blocks_are_what_their_files_say_and_their_programs_print(self, page):
        for block in page.blocks:
            text = block["origin"] and original(block["origin"])
            if text is not None and not is_as(block, text):
                self.assertEqual(block["text"], text, f"<!-- {block['origin']} -->")

    @of_each_page
    def test_a_block_is_found_and_says_where_it_comes_from(self, page):
        fences = re.findall(r"^[ >]*(?:```|~~~)", page.text, re.M)
        self.assertEqual(len(fences), 2 * len(page.blocks), "a block that no test can see")
        origins = [block["origin"] for block in page.blocks if block["origin"]]
        self.assertEqual(len(origins), page.text.count("<!-- "), "a comment without its block")
        for block in page.blocks:
            if block["language"] not in ("", "sh"):
                self.assertTrue(block["origin"], f"where is this from?\n{block['text']}")

    @of_each_page
    def test_every_cpp_block_is_from_a_file(self, page):
        for block in page.blocks:
            if block["language"] == "cpp":
                self.assertRegex(
                    block["origin"] or "", r"^(from \S+\.[ch]pp: |not ours: )", block["text"]
                )

    @of_each_page
    def test_what_is_not_ours_does_not_use_the_library(self, page):
        for block in page.blocks:
            if (block["origin"] or "").startswith("not ours: "):
                self.assertNotRegex(block["text"], r"slab_allocator::|<slab_allocator/|CacheConfig")

    def test_the_twenty_lines_are_a_whole_program(self):
        first = self.readme.blocks[0]
        self.assertEqual(first["origin"], "from examples/first.cpp: first")
        self.assertIn("int main()", first["text"])
        self.assertLessEqual(first["text"].count("\n"), 22)

    def test_the_readme_is_read_in_five_minutes(self):
        self.assertLessEqual(len(self.readme.text.split()), 1600, "the guide has room for it")
        before_the_first_door = self.readme.text[: self.readme.text.index("\n## ")]
        self.assertLessEqual(len(before_the_first_door.split()), 360)

    def test_the_compiler_says_what_it_is_quoted_with(self):
        number = 0
        for block in (block for page in self.pages for block in page.blocks):
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

    @of_each_page
    def test_every_preset_that_is_named_exists(self, page):
        presets = json.loads((SOURCE / "CMakePresets.json").read_text())["workflowPresets"]
        named = re.findall(r"cmake --workflow --preset ([\w-]+)", page.text)
        self.assertLessEqual(set(named), {preset["name"] for preset in presets})

    @of_each_page
    def test_every_word_for_tools_run_is_one(self, page):
        words = set(re.findall(r"^    ([a-z]+)\) preset=", (SOURCE / "tools/run").read_text(), re.M))
        named = set(re.findall(r"tools/run ([a-z]+)", page.text))
        self.assertLessEqual(named, words)
        if page is self.readme:
            self.assertLessEqual({"example", "tests"}, named)

    @of_each_page
    def test_every_file_that_is_named_exists(self, page):
        for target in re.findall(r"\]\(([^)#]+)", page.prose):
            if "://" not in target:
                self.assertTrue((page.path.parent / target).exists(), target)
        for name in re.findall(r"`([\w.+-]+(?:/[\w.+-]+)*/?)`", page.prose):
            if "/" in name and name.split("/")[0] in TOP_LEVEL:
                self.assertTrue((SOURCE / name).exists(), name)

    @of_each_page
    def test_every_heading_that_is_linked_to_exists(self, page):
        for file, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.prose):
            target = Page((page.path.parent / file).resolve()) if file else page
            self.assertIn(anchor, target.anchors(), file)

    def test_the_index_has_every_page_of_docs(self):
        index = SOURCE / "docs/README.md"
        if not index.exists():
            return
        links = re.findall(r"\]\(([^)#]+)\)", index.read_text())
        for page in self.pages:
            if page.path.parent == index.parent and page.path != index:
                self.assertIn(page.path.name, links, f"docs/README.md has no line for {page.name}")


class Tables(unittest.TestCase):
    def rows(self, page):
        rows = re.findall(r"^\| *(.*?) *\|$", (SOURCE / page).read_text(), re.M)
        return [re.split(r" *\| *", row) for row in rows]

    def core(self, file):
        return (SOURCE / "include/slab_allocator/core" / file).read_text()

    def test_every_defect_has_its_row(self):
        body = re.search(r"enum class Defect[^{]*\{(.*?)\};", self.core("defect.hpp"), re.S)[1]
        defects = [name for name in re.findall(r"^ *(\w+),", body, re.M) if name != "None"]
        rows = self.rows("docs/levels.md")
        named = [row[0].strip("`") for row in rows if row[0].strip("`") in defects]
        self.assertEqual(named, defects)

    def test_every_member_of_the_configuration_has_its_row_and_its_default(self):
        body = re.search(r"struct CacheConfig \{(.*?)\n    friend", self.core("config.hpp"), re.S)[1]
        members = re.findall(r"^    [\w:]+ (\w+) = ([\w:]+);", body, re.M)
        rows = [(row[0].strip("`"), row[-1].strip("`")) for row in self.rows("docs/configuration.md")]
        self.assertGreater(len(members), 5)
        self.assertEqual([row for row in rows if row[0] in dict(members)], members)

    def test_every_function_of_a_backend_is_in_the_table_of_rows_and_in_that_of_functions(self):
        header = self.core("memory_backend.hpp")
        functions = re.search(r"namespace backend_has \{(.*?)\n\}  //", header, re.S)[1]
        names = re.findall(r"^concept (\w+) =", functions, re.M)
        self.assertIn("alloc_slab", names)
        for name in names:
            rows = self.rows("docs/backend.md")
            self.assertTrue(any(row[0].startswith(f"`{name}(") for row in rows), name)
            self.assertTrue(any(f"`{name}`" in row[-1] for row in self.rows("README.md")), name)

    def test_every_public_member_of_a_cache_is_in_its_table(self):
        public = self.core("cache.hpp").split("public:")[1].split("private:")[0]
        names = set(re.findall(r"^    (?:\[\[nodiscard\]\] )?\w[\w<>:*&, ]*?\b([a-z]\w*)\(", public, re.M))
        names -= {"requires", "noexcept"}
        self.assertIn("shrink_to_fit", names)
        for name in names:
            self.assertTrue(any(f"`{name}(" in row[0] for row in self.rows("docs/cache.md")), name)


class Figures(unittest.TestCase):
    """The numbers of the pages are those of files that the benchmarks and tests write."""

    bench = (SOURCE / "bench/README.md").read_text()
    compare = (SOURCE / "bench/results/compare.md").read_text()

    @staticmethod
    def table(text, heading):
        """{name: {column: figure}} of the first table after a heading, or that begins with it."""
        rows = re.search(r"(?:^\|.*\|\n)+", text[text.index(heading) :], re.M)[0].splitlines()
        rows = [row.strip("| ").replace("`", "").split(" | ") for row in rows]
        return {row[0]: dict(zip(rows[0][1:], row[1:])) for row in rows[2:]}

    def instructions(self, compiler):
        """{probe: "pair / alloc / free"}"""
        table = (SOURCE / f"tests/instructions/{compiler}.txt").read_text()
        counts = re.findall(r"^(\S+) +(\d+) +(\d+) +(\d+) ", table, re.M)
        return {name: " / ".join(numbers) for name, *numbers in counts}

    def test_the_picture_is_drawn_from_the_tables(self):
        with tempfile.TemporaryDirectory() as folder:
            drawn = pathlib.Path(folder) / "small.svg"
            report = [sys.executable, "-B", SOURCE / "bench/compare/report.py"]
            tables = SOURCE / "bench/results/compare.md"
            subprocess.run([*report, tables, "--small-svg", drawn], check=True)
            self.assertEqual(drawn.read_text(), (SOURCE / "bench/results/compare-small.svg").read_text())

    def test_instructions_are_those_that_the_tests_compare(self):
        table = self.table(self.bench, "| pair / alloc / free of any object |")
        for column, compiler in {"g++ 12": "g++-12", "clang 19": "clang-19"}.items():
            counted = self.instructions(compiler)
            for row, probe in {"limit": "limit", "none, every row": "none", "misuse, by mask": "misuse"}.items():
                self.assertEqual(table[row][column], counted[probe], f"{row}, {column}")

    def test_figures_are_those_that_the_comparison_wrote(self):
        for beginning, heading in {
            "| ns, 64 bytes |": "### 64 bytes: nanoseconds an operation",
            "| to `limit`, mean of sizes |": "### Ratio to limit, geometric mean over 16, 64, 256, 1024 bytes",
        }.items():
            written = self.table(self.compare, heading)
            table = self.table(self.bench, beginning)
            self.assertGreater(len(table), 8)
            for name, figures in table.items():
                for column, figure in figures.items():
                    exact, near = written[name][column], 0.5 if "." not in figure else 0
                    self.assertAlmostEqual(float(figure), float(exact), None, f"{name}, {column}", near)

    def test_the_readme_says_what_was_counted_and_measured(self):
        text = " ".join(README.read_text().split())
        pair = re.search(r"An alloc and a free of one object are (\d+) instructions and take ([\d.]+) ns", text)
        any_other = re.search(r"a free of any other is (\d+)", text)
        counted = self.instructions("g++-12")["misuse"].split(" / ")
        self.assertEqual([pair[1], any_other[1]], [counted[0], counted[2]])
        self.assertEqual(pair[2], self.table(self.bench, "| ns, 64 bytes |")["misuse"]["pair"])


if __name__ == "__main__":
    EXAMPLES = pathlib.Path(sys.argv.pop(1))
    if "--update" in sys.argv:
        update()
    else:
        unittest.main()
