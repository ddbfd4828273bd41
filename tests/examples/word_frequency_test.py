"""The promises of examples/word_frequency.

    python3 word_frequency_test.py PROGRAM [unittest arguments]

The program's counts are compared with those of pipelines of standard tools, byte for byte, on a real
text that real_text.sh makes of what the machine has, and with those of a few lines of Python on many
small hostile ones.
"""

import collections
import itertools
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = ""
EVERY_WORD = ["-n", str(10**12)]
SOURCE = pathlib.Path(__file__).resolve().parents[2]
MEGABYTES = int(os.environ.get("MEGABYTES", 16))

# The pipeline of the program's head comment, and one that knows which bytes are UTF-8 (The Unicode
# Standard, table 3-7); both in the order in which the program prints.
ORDER = "LC_ALL=C sort | LC_ALL=C uniq -c | LC_ALL=C sort -k1,1nr -k2,2"
LETTERS = r"LC_ALL=C tr -cs 'A-Za-z\200-\377' '[\n*]' | grep -v '^$'"
UTF_8 = (
    r"(?:[A-Za-z]|[\xC2-\xDF][\x80-\xBF]|\xE0[\xA0-\xBF][\x80-\xBF]"
    r"|[\xE1-\xEC\xEE\xEF][\x80-\xBF]{2}|\xED[\x80-\x9F][\x80-\xBF]"
    r"|\xF0[\x90-\xBF][\x80-\xBF]{2}|[\xF1-\xF3][\x80-\xBF]{3}|\xF4[\x80-\x8F][\x80-\xBF]{2})++"
)
WORDS = f"LC_ALL=C grep -aoP '{UTF_8}'"
SMALL = "LC_ALL=C tr A-Z a-z"


def pipeline(text, *commands):
    with open(text, "rb") as file:
        return subprocess.run(
            " | ".join(commands), shell=True, stdin=file, check=True, stdout=subprocess.PIPE
        ).stdout


def expected(text):
    """What the program is to print, in Python."""
    pattern = UTF_8.replace("++", "+").encode()
    words = collections.Counter(word.lower() for word in re.findall(pattern, text))
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    return b"".join(b"%7d %s\n" % (number, word) for word, number in ranked)


def invalid_number(text):
    return sum(end - start for start, end in invalid_runs(text))


def invalid_runs(text):
    position = 0
    while position < len(text):
        try:
            text[position:].decode()
            return
        except UnicodeDecodeError as error:
            yield position + error.start, position + error.end
            position += error.end


class Program:
    def __init__(self, *arguments, text=b"", exit_code=0, timeout=None):
        done = subprocess.run(
            [PROGRAM, *map(str, arguments)], input=text, capture_output=True, timeout=timeout
        )
        self.words = done.stdout
        self.told = done.stderr.decode()
        if done.returncode != exit_code:
            raise AssertionError(f"exit code {done.returncode}, not {exit_code}:\n{self.told}")
        if exit_code != 2 and "at exit  0 nodes, 0 bytes held" not in self.told:
            raise AssertionError(f"something is still held:\n{self.told}")


class RealText(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.text = pathlib.Path(cls.directory.name) / "text"
        with open(cls.text, "wb") as file:
            script = SOURCE / "examples" / "real_text.sh"
            subprocess.run([script, str(MEGABYTES)], check=True, stdout=file)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def test_the_counts_are_those_of_grep_tr_sort_and_uniq(self):
        by_tools = pipeline(self.text, WORDS, SMALL, ORDER)
        program = Program(*EVERY_WORD, self.text)
        self.assertEqual(program.words, by_tools)
        number = sum(int(line.split()[0]) for line in by_tools.splitlines())
        size = self.text.stat().st_size
        self.assertIn(f"text     {size} bytes, {number} words\n", program.told)
        print(f"\n{size} bytes, {number} words, {by_tools.count(10)} different ones: the same")

    def test_in_utf_8_tr_alone_finds_the_words(self):
        valid = self.text.with_name("valid")
        valid.write_bytes(self.text.read_bytes().decode(errors="ignore").encode())
        program = Program(*EVERY_WORD, valid)
        self.assertEqual(program.words, pipeline(valid, LETTERS, SMALL, ORDER))
        self.assertNotIn("UTF-8", program.told)


class Input(unittest.TestCase):
    def test_standard_input_is_read_where_no_file_is_named(self):
        self.assertEqual(Program(text=b"to be or Not to BE").words, expected(b"to be or not to be"))

    def test_a_minus_is_standard_input_among_files(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"from a file")
            file.flush()
            program = Program(file.name, "-", text=b"from a pipe")
        self.assertEqual(program.words, expected(b"from a file from a pipe"))

    def test_a_word_ends_with_its_file(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"half")
            file.flush()
            self.assertEqual(Program(file.name, file.name).words, b"      2 half\n")

    def test_n_words_are_printed_the_most_frequent_first(self):
        text = b"b b a a c c c d"
        self.assertEqual(Program("-n", 3, text=text).words, expected(text)[: 3 * 10])
        self.assertEqual(Program("-n2", text=text).words, expected(text)[: 2 * 10])
        self.assertEqual(Program("-n", 0, text=text).words, b"")

    def test_ten_words_are_printed_where_no_number_is_given(self):
        text = b" ".join(bytes([letter]) for letter in b"abcdefghijklmnop")
        self.assertEqual(Program(text=text).words.count(b"\n"), 10)

    def test_empty_input_is_said_to_be_empty(self):
        program = Program("/dev/null")
        self.assertEqual(program.words, b"")
        self.assertIn("word_frequency: the input is empty\n", program.told)
        self.assertIn("the input is empty", Program(text=b"").told)

    def test_input_without_a_word_is_said_to_have_none(self):
        program = Program(text=b"1 + 1 = 2\n")
        self.assertEqual(program.words, b"")
        self.assertIn("word_frequency: there is no word in the input\n", program.told)

    def test_a_missing_file_is_told_and_the_others_are_counted(self):
        program = Program("/nonexistent/text", "-", text=b"a", exit_code=1)
        self.assertEqual(program.words, b"      1 a\n")
        self.assertIn("word_frequency: /nonexistent/text: No such file or directory\n", program.told)

    def test_a_missing_file_alone_is_not_called_empty_input(self):
        self.assertNotIn("empty", Program("/nonexistent/text", exit_code=1).told)

    def test_a_directory_is_told_as_what_it_is(self):
        self.assertIn("word_frequency: /: Is a directory\n", Program("/", exit_code=1).told)

    def test_what_cannot_be_written_is_told(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([PROGRAM], input=b"a", stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"word_frequency: standard output: No space left", done.stderr)

    def test_wrong_arguments_get_the_usage(self):
        for arguments in (["-n"], ["-n", "x"], ["-n", "-1"], ["-n", "1x"], ["-n", ""], ["--what"]):
            self.assertIn("usage: word_frequency", Program(*arguments, exit_code=2).told)

    def test_who_asks_for_help_gets_it(self):
        told = subprocess.run([PROGRAM, "--help"], check=True, capture_output=True)
        self.assertIn(b"usage: word_frequency", told.stdout)
        self.assertEqual(told.stderr, b"")

    def test_a_file_may_be_called_like_an_option(self):
        self.assertIn("-n: No such file", Program("--", "-n", exit_code=1).told)


class Bytes(unittest.TestCase):
    def assert_counts(self, text):
        program = Program(*EVERY_WORD, text=text)
        self.assertEqual(program.words, expected(text), text)
        invalid = invalid_number(text)
        told = f"bytes that are not UTF-8: {invalid}; they separate words\n"
        self.assertEqual(told in program.told, invalid > 0, program.told)
        self.assertEqual("UTF-8" in program.told, invalid > 0, program.told)

    def test_characters_beyond_ascii_are_letters_and_stay_as_they_are(self):
        self.assert_counts("Éa éa naïve na ve übers Ü 東京 日本 𝄞x".encode())

    def test_bytes_that_are_not_utf_8_separate_and_are_counted(self):
        for text in (
            b"a\xffb", b"a\x80b", b"a\xc3", b"a\xe2\x82", b"a\xe2\x82b", b"\xf0\x9f\x98",
            b"a\xc0\xafb", b"\xe0\x80\xafx", b"\xed\xa0\x80x", b"\xf4\x90\x80\x80x", b"\xf5x",
            b"\xc3\xc3\xa9", b"\xe2\x82\xc3\xa9", b"\xf0\x9f\xc3\xa9", b"a\x00b", bytes(range(256)),
        ):  # fmt: skip
            self.assert_counts(text)

    def test_a_character_may_lie_across_the_end_of_a_buffer(self):
        for length in range(65530, 65540):
            self.assert_counts(b"x" * length + "é東𝄞".encode() + b" x")
            self.assert_counts(b" " * length + b"\xf0\x9f\x98x")

    def test_random_bytes(self):
        seed = int(os.environ.get("SEED", random.randrange(2**32)))
        print(f"\nSEED={seed}")
        dice = random.Random(seed)
        alphabet = b"aAzZ@[`{ \n09" + bytes([0, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0])
        alphabet += bytes([0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5])
        for _ in range(100):
            self.assert_counts(bytes(dice.choices(alphabet, k=dice.randrange(1, 2000))))

    def test_sorted_words_do_not_make_the_tree_a_list(self):
        letters = [bytes([letter]) for letter in b"abcdefghijklmnopqrst"]
        words = [b"".join(word) for word in itertools.product(letters, repeat=4)]
        for text in (words, words[::-1]):
            program = Program("-n", 2, text=b" ".join(text), timeout=60)  # a list takes minutes
            self.assertEqual(program.words, b"      1 aaaa\n      1 aaab\n")
            self.assertIn(f"{len(words)} allocated", program.told)

    def test_one_gigantic_word(self):
        for letter in (b"Q", "é".encode()):
            word = letter * 8_000_000
            self.assertEqual(Program(text=word).words, b"      1 " + word.lower() + b"\n")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
