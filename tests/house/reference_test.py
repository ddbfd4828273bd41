"""The reference that Doxygen makes of the headers' comments: no warning, and nothing undescribed.

    python3 reference_test.py DOXYGEN
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as tree

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DOXYGEN = ""


def described(element):
    return any(
        "".join(part.itertext()).strip()
        for name in ("briefdescription", "detaileddescription")
        for part in element.findall(name)
    )


class Reference(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        settings = (SOURCE / "Doxyfile").read_text()
        settings += f"\nOUTPUT_DIRECTORY={cls.folder.name}\nGENERATE_HTML=NO\n"
        cls.doxygen = subprocess.run(
            [DOXYGEN, "-"], cwd=SOURCE, input=settings, capture_output=True, text=True
        )

    def test_doxygen_has_nothing_to_say(self):
        self.assertEqual(self.doxygen.returncode, 0)
        self.assertEqual(self.doxygen.stderr, "")

    def test_every_name_that_the_module_exports_is_described(self):
        names = {}  # name -> is one of its declarations described?
        for path in pathlib.Path(self.folder.name, "xml").glob("*.xml"):
            for compound in tree.parse(path).getroot().findall("compounddef"):
                name = compound.findtext("compoundname").split("<")[0].strip()
                names[name] = names.get(name, False) or described(compound)
                if compound.get("kind") == "namespace":
                    for member in compound.iter("memberdef"):
                        full = f"{name}::{member.findtext('name')}"
                        names[full] = names.get(full, False) or described(member)
        exported = re.findall(r"^using (\S+);", (SOURCE / "modules/slab_allocator.cppm").read_text(), re.M)
        self.assertGreater(len(exported), 50)
        self.assertEqual([name for name in exported if not names.get(name)], [])


if __name__ == "__main__":
    DOXYGEN = sys.argv.pop(1)
    if DOXYGEN.endswith("NOTFOUND"):
        print("doxygen is not installed: skipped")
    else:
        unittest.main()
