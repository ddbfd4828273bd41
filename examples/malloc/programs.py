#!/usr/bin/env python3
"""programs.py -- programs that nobody here wrote, run with a malloc of ours and without.

    programs.py libslab_malloc.so [--quick] [--only python,git] [--also name=/path/lib.so ...]

Each program runs unmodified, once as it is and once with the library loaded before it. Its output
must be the same, byte for byte where it can be. Prints a table: processor time and peak memory,
with and without. Exits with 1 where an output differs or a program fails, and says so. A program
that is not installed is named as skipped, unless --all. A peak is at least what this script has,
about 18 MB: that is where the system begins to count.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parents[2]


class Failed(Exception):
    pass


class Run:
    """Where and how one program runs: the environment, and what it cost so far."""

    def __init__(self, folder, library, quick):
        self.folder, self.quick = folder, quick
        self.environment = dict(os.environ, LC_ALL="C", TZ="UTC", PYTHONHASHSEED="0")
        if library is not None:
            self.environment["LD_PRELOAD"] = str(library)
        self.seconds, self.peak = 0.0, 0

    def start(self, *command, **options):
        return subprocess.Popen(
            [str(word) for word in command], cwd=self.folder, env=self.environment, **options
        )

    def wait(self, process):
        """As Popen.wait, and the memory of the largest of its processes counts."""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.peak = max(self.peak, usage.ru_maxrss)
        self.seconds += usage.ru_utime + usage.ru_stime
        return process.returncode

    def __call__(self, *command, text=None, check=True):
        """Runs it and returns what it printed."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as given:
            given.write((text or "").encode())
            given.seek(0)
            process = self.start(*command, stdin=given, stdout=out, stderr=subprocess.STDOUT)
            status = self.wait(process)
            out.seek(0)
            output = out.read()
        if check and status != 0:
            tail = output[-2000:].decode(errors="replace")
            raise Failed(f"{command[0]} ended with {status}:\n{tail}")
        return output


# ---- The programs: each returns all of its output that must be the same ------------------------------


def python(run):
    modules = "test_list test_json test_collections".split()
    if not run.quick:
        modules += "test_dict test_re test_unicode test_weakref test_gc test_thread".split()
        modules += "test_fork1 test_bytes test_set test_sort test_decimal test_hashlib".split()
    output = run(find_python(), "-m", "test", "-v", *modules).decode(errors="replace")
    results = re.findall(r"^(\S+ \(\S+\)).*\.\.\. (ok|skipped|FAIL|ERROR)\b", output, re.MULTILINE)
    if len(results) < 100:
        raise Failed(f"only {len(results)} tests of python ran")
    return "\n".join(sorted(" ".join(result) for result in results)).encode()


def sqlite(run):
    rows = 60_000 if run.quick else 700_000  # of about 150 bytes: 10 and 100 MB
    script = f"""
        pragma journal_mode = off; pragma synchronous = off;
        create table item(id integer primary key, name text, body text, price real);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})
        insert into item select i, 'name ' || (i * 7919 % {rows}),
            substr(hex(i * 2654435761) || printf('%0120d', i * i), 1, 120), i % 1000 / 7.0 from n;
        create index by_name on item(name);
        create index by_price on item(price, id);
        select count(*), sum(length(body)), round(avg(price), 6) from item;
        select name, count(*) from item group by substr(name, 1, 7) order by 2 desc, 1 limit 20;
        select a.id, b.id from item a join item b on a.name = 'name ' || b.id
            where a.id % 997 = 0 order by 1 limit 200;
        update item set body = upper(body) || name where id % 3 = 0;
        delete from item where id % 5 = 0;
        select group_concat(name, ',') from (select name from item order by body, id limit 500);
        pragma integrity_check; vacuum;
        select count(*), max(body), min(body) from item;
    """
    output = run("sqlite3", "items.db", text=script)
    size = (run.folder / "items.db").stat().st_size
    return output + str(size).encode() + digest(run.folder / "items.db")


def redis(run):
    server = run.start(
        "redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "",
        "--appendonly", "no", "--daemonize", "no",
        stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        for _ in range(1200):
            if (run.folder / "redis.sock").exists():
                break
            time.sleep(0.05)
        number = 20_000 if run.quick else 300_000
        run(
            "redis-benchmark", "-s", "redis.sock", "-q", "-n", number, "-r", number // 4,
            "-d", 100, "-P", 16, "-t", "set,get,incr,lpush,lpop,sadd,hset,zadd,lrange_100,mset",
        )  # fmt: skip
        commands = ["flushall"]
        for i in range(2_000 if run.quick else 30_000):
            commands += [
                f"set key:{i} {'v' * (i % 300)}{i}", f"hset hash:{i % 97} field{i} {i * i}",
                f"rpush list:{i % 31} {i}", f"zadd scores {i * 7919 % 1009} member{i}",
                f"append key:{i // 2} {i}",
            ]  # fmt: skip
        commands += ["dbsize", "zrange scores 0 -1 withscores", "lrange list:7 0 -1"]
        commands += ["hgetall hash:5", "mget key:1 key:2 key:777", "sort list:3 by nosort get #"]
        output = run("redis-cli", "-s", "redis.sock", text="\n".join(commands) + "\n")
        run("redis-cli", "-s", "redis.sock", "shutdown", "nosave", check=False)
        status = run.wait(server)
    finally:
        if server.returncode is None:
            server.kill()
            server.wait()
    if status != 0:
        raise Failed(f"redis-server ended with {status}")
    return output


def compiler(run):
    source = "examples/first.cpp" if run.quick else "tests/core/cache_bulk_test.cpp"
    include = [f"-I{PROJECT / name}" for name in ("include", "tests")]
    output = run("g++", "-std=c++20", "-O2", "-c", *include, PROJECT / source, "-o", "out.o")
    return output + digest(run.folder / "out.o")


def git(run):
    files = 300 if run.quick else 3_000
    settings = ["-c", "user.name=n", "-c", "user.email=e", "-c", "gc.auto=0", "-c", "pack.threads=2"]
    run.environment.update(GIT_AUTHOR_DATE="@1700000000 +0000", GIT_COMMITTER_DATE="@1700000000 +0000")
    run.environment.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")

    def call(*words):
        return run("git", *settings, *words)

    call("init", "-q", "-b", "main", ".")
    for commit in range(5 if run.quick else 20):
        for i in range(files):
            if commit == 0 or i % (commit + 7) == 0:
                lines = [f"{i} {line} {line * i % 101} {commit}" for line in range(20 + i % 200)]
                (run.folder / f"file{i}.txt").write_text("\n".join(lines))
        call("add", "-A")
        call("commit", "-q", "-m", f"commit {commit}")
    output = call("log", "--stat", "--format=%H %s") + call("log", "-p", "-3")
    call("repack", "-adfq", "--depth=50")
    output += call("fsck", "--full", "--strict", "--no-progress") + call("diff", "HEAD~2", "--stat")
    run("git", *settings, "clone", "-q", "--no-local", ".", "clone")
    return output + call("blame", "file8.txt") + call("count-objects", "-v").split(b"size-pack")[0]


def perl(run):
    program = r"""
        use strict; my (%words, @lines); my $seed = 42;
        for my $i (1 .. $ARGV[0]) {
            $seed = ($seed * 1103515245 + 12345) % 2147483648;
            my $line = join ' ', map { chr(97 + ($seed >> $_) % 26) x (1 + $_ % 7) } 0 .. 12;
            push @lines, $line; $words{$_}++ for split / /, $line;
            $line =~ s/([aeiou]+)/<$1>/g; $words{length $line}++;
        }
        my @sorted = sort { $words{$b} <=> $words{$a} || $a cmp $b } keys %words;
        print "$_ $words{$_}\n" for @sorted;
        my %tree; for my $line (@lines) { my $at = \%tree; $at = $at->{$_} //= {} for split //, substr $line, 0, 12; }
        sub count { my $n = 1; $n += count($_) for values %{$_[0]}; return $n } print count(\%tree), "\n";
        print join(',', (sort @lines)[0 .. 99]), "\n";
    """
    return run("perl", "-e", program, 20_000 if run.quick else 300_000)


def jq(run):
    items = 10_000 if run.quick else 200_000
    with (run.folder / "data.json").open("w") as file:
        for i in range(items):
            tags = [f"t{i % 13}", f"t{i % 7}"]
            item = {"id": i, "group": i * 7919 % 101, "tags": tags, "text": "x" * (i % 50)}
            file.write(("[" if i == 0 else ",") + json.dumps(item))
        file.write("]")
    query = """
        group_by(.group) | map({group: .[0].group, number: length, sum: (map(.id) | add),
        tags: ([.[].tags[]] | unique), longest: (map(.text | length) | max)}) | sort_by(-.sum)
    """
    return run("jq", query, "data.json") + run("jq", "-c", ".[] | select(.id % 100 == 3)", "data.json")


PROGRAMS = {
    "python": python, "sqlite3": sqlite, "redis": redis, "g++": compiler, "git": git,
    "perl": perl, "jq": jq,
}  # fmt: skip
NEEDS = {"redis": "redis-server"}


def digest(path):
    """In parts: a child's peak begins with what this script has when it starts it."""
    sums = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 16):
            sums.update(part)
    return sums.digest()


def find_python():
    """An interpreter that has its own tests."""
    for name in ("/usr/bin/python3", sys.executable):
        call = [name, "-c", "import test.test_list, sys; print(sys.executable)"]
        answer = subprocess.run(call, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return answer.stdout.strip()
    raise Failed("no python has its tests (libpython3.11-testsuite)")


def measure(name, library, quick):
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        if library is not None and " " in str(library):  # the loader takes one for the end of a name
            link = pathlib.Path(other) / "malloc.so"
            link.symlink_to(pathlib.Path(library).resolve())
            library = link
        run = Run(pathlib.Path(folder), library, quick)
        output = PROGRAMS[name](run)
        return output, run.seconds, run.peak


def named_library(also):
    """What --also says: name=library."""
    name, library = also.split("=", 1)
    return name, pathlib.Path(library).resolve(strict=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="seconds, for every change")
    parser.add_argument("--only", help="names, with commas between them")
    parser.add_argument("--also", action="append", default=[], help="name=library, measured, too")
    parser.add_argument("--all", action="store_true", help="a missing program is a failure")
    options = parser.parse_args()
    libraries = [("this", options.library.resolve())]
    libraries += [named_library(also) for also in options.also]
    names = options.only.split(",") if options.only else list(PROGRAMS)
    heads = "".join(f"{name:>16}" for name, _ in libraries)
    print(f"{'':10}{'as it is':>16}{heads}     output\n{'':10}" + "     time   peak" * (1 + len(libraries)))
    wrong = False
    for name in names:
        if shutil.which(NEEDS.get(name, name)) is None:
            print(f"{name:10}  not installed: skipped")
            wrong |= options.all
            continue
        try:
            expected, seconds, peak = measure(name, None, options.quick)
            row, same = f"{seconds:7.2f} s {peak // 1024:4} M", True
            for _, library in libraries:
                output, seconds, peak = measure(name, library, options.quick)
                row += f"{seconds:7.2f} s {peak // 1024:4} M"
                same = same and output == expected
            print(f"{name:10}{row}     {'the same' if same else 'DIFFERS'}", flush=True)
            wrong |= not same
        except Failed as failure:
            print(f"{name:10}  FAILED: {failure}", flush=True)
            wrong = True
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
