"""conanfile.py -- the recipe for Conan 2: headers, the same for every compiler.

    conan create . -s compiler.cppstd=20 --build=missing
"""

import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load
from conan.tools.layout import basic_layout

required_conan_version = ">=2.0"


class SlabAllocator(ConanFile):
    name = "slab_allocator"
    description = "A header-only C++20 slab allocator"
    license = "MIT"
    topics = ("slab", "allocator", "memory", "kernel", "header-only")

    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"  # to look at; none is in the package id
    implements = ["auto_header_only"]
    exports_sources = "include/*.hpp", "LICENSE"
    no_copy_source = True

    def set_version(self):
        version = load(self, os.path.join(self.recipe_folder, "include/slab_allocator/version.hpp"))
        numbers = re.findall(r"^#define SLAB_ALLOCATOR_VERSION_\w+ (\d+)$", version, re.MULTILINE)
        self.version = ".".join(numbers)

    def layout(self):
        basic_layout(self)

    def validate(self):
        check_min_cppstd(self, 20)

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "include/*.hpp", self.source_folder, self.package_folder)

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_file_name", "slab_allocator")
        self.cpp_info.set_property("cmake_target_name", "slab_allocator::slab_allocator")
        self.cpp_info.set_property("pkg_config_name", "slab_allocator")
