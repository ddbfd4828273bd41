#pragma once

// modules.hpp -- where in which file an address is.
//
//      0x7f3a5c1d2e40 (libexample.so+0x12e40)      addr2line -e libexample.so 0x12e40
//
// Who called malloc is known by the address that the call returns to. The dynamic linker is asked
// without a lock: the thread that reports a defect may hold any.

#include <dlfcn.h>
#include <link.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/sink.hpp>

namespace malloc_example {

/// The loaded file that an address lies in.
struct Module {
    const char* name = nullptr;  ///< without its folder; nullptr: it lies in none, or none is known
    std::size_t offset = 0;

    [[nodiscard]] static Module around(const void* address) noexcept {
#ifdef DLFO_STRUCT_HAS_EH_DBASE  // from glibc 2.35 on
        dl_find_object found{};
        if (::_dl_find_object(const_cast<void*>(address), &found) == 0) {
            const char* const path = found.dlfo_link_map->l_name;
            return {.name = path[0] == '\0' ? program_invocation_short_name : without_folder(path),
                    .offset = slab_allocator::address_of(address) - found.dlfo_link_map->l_addr};
        }
#endif
        static_cast<void>(address);
        return {};
    }

private:
    [[nodiscard]] static const char* without_folder(const char* path) noexcept {
        const char* name = path;
        for (; *path != '\0'; ++path) {
            if (*path == '/') name = path + 1;
        }
        return name;
    }
};

/// An address, and what is known of it.
template <slab_allocator::Sink Out>
void write_place(slab_allocator::detail::Writer<Out>& writer, const void* address) {
    writer.address(slab_allocator::address_of(address));
    const Module module = Module::around(address);
    if (module.name == nullptr) return;
    writer.text(" (");
    writer.text(module.name);
    writer.text("+");
    writer.address(module.offset);
    writer.text(")");
}

}  // namespace malloc_example
