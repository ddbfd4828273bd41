"""conan_test.py -- Conan makes the package, a program uses it, and C++17 is refused with a sentence.

    python3 tests/package/conan_test.py <conan> <root> <folder to work in> <version> <compiler> \
        <generator>

No remote is asked: the recipe needs nothing, and test_package finds cmake on the machine.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

conan, root, work, version, compiler, generator = sys.argv[1:]
root, work = pathlib.Path(root), pathlib.Path(work)

if not pathlib.Path(conan).is_file():
    print("conan is not installed: skipped")
    sys.exit(0)

shutil.rmtree(work, ignore_errors=True)
recipe = work / "recipe"  # building leaves files beside test_package
ENVIRONMENT = {**os.environ, "CONAN_HOME": str(work / "home"), "CXX": compiler}
ENVIRONMENT.pop("CC", None)
CONF = ["-c", f"tools.cmake.cmaketoolchain:generator={generator}"]


def run(*arguments, status=0):
    """What conan prints: its answer, and what it says of its work."""
    done = subprocess.run(
        [conan, *arguments], cwd=recipe, env=ENVIRONMENT, capture_output=True, text=True
    )
    if done.returncode != status:
        sys.exit(f"conan {' '.join(arguments)}\n{done.stdout}{done.stderr}\n= {done.returncode}")
    return done.stdout, done.stderr


def expect(condition, what, printed):
    if not condition:
        sys.exit(f"{printed}\n{what}")


def packages():
    """The ids of the packages in the cache."""
    listed = json.loads(run("list", f"slab_allocator/{version}:*", "--format=json")[0])
    revisions = listed["Local Cache"][f"slab_allocator/{version}"]["revisions"].values()
    return [package for revision in revisions for package in revision["packages"]]


for part in ("conanfile.py", "LICENSE"):
    recipe.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / part, recipe)
for part in ("include", "test_package"):
    ignored = shutil.ignore_patterns("build", "CMakeUserPresets.json")
    shutil.copytree(root / part, recipe / part, ignore=ignored)

run("profile", "detect")
run("remote", "disable", "*")

# C++17 is refused with a sentence.
create = ["create", ".", "--build=missing", *CONF]
said = run(*create, "-s", "compiler.cppstd=17", status=6)[1]
sentence = "Current cppstd (17) is lower than the required C++ standard (20)."
expect(sentence in said, f"must say: {sentence}", said)

# C++20 is not, and the program of test_package runs.
answer, said = run(*create, "-s", "compiler.cppstd=20")
expect(f"slab_allocator {version}\n" in answer + said, "test_package must run", answer + said)
first = packages()
expect(len(first) == 1, "there must be one package", first)

# Another compiler, build type and standard need no other package.
other = ["-s", "compiler=clang", "-s", "compiler.version=19", "-s", "compiler.cppstd=23"]
run(*create, *other, "-s", "compiler.libcxx=libstdc++11", "-s", "build_type=Debug", "-tf=")
expect(packages() == first, f"must be the package that is there: {first}", packages())

# It holds the headers and the license, and knows no folder but include.
(folder,) = run("cache", "path", f"slab_allocator/{version}:{first[0]}")[0].splitlines()
held = {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in pathlib.Path(folder).rglob("*")
    if path.is_file() and path.name not in ("conaninfo.txt", "conanmanifest.txt")
}
expected = {
    path.relative_to(root).as_posix(): path.read_bytes() for path in root.glob("include/**/*.hpp")
}
expected["licenses/LICENSE"] = (root / "LICENSE").read_bytes()
expect(held == expected, "is not what the package holds", sorted(set(held) ^ set(expected)))
print(f"slab_allocator/{version}:{first[0]}")
