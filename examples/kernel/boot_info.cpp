// boot_info.cpp -- reads the tables of PVH and of Multiboot 2.

#include "boot_info.hpp"

#include <cstddef>
#include <cstdint>

#include "paging.hpp"
#include "serial.hpp"

extern "C" char kernel_end[];

namespace kernel {

namespace {

constexpr std::uint64_t page_size = 4096;

// Of both loaders, as of the firmware that they have it from.
constexpr std::uint32_t usable_memory = 1;
constexpr std::uint32_t acpi_tables = 3;
constexpr std::uint32_t acpi_storage = 4;

void add_range(BootInfo& info, std::uint64_t start, std::uint64_t size,
               std::uint32_t type) noexcept {
    std::uint64_t end = start + size;
    print("  ", Hex{start}, " .. ", Hex{end}, " type ", std::uint64_t{type}, "\n");
    if (type == acpi_tables || type == acpi_storage) {
        if (info.tables_number == BootInfo::most_ranges) return;
        info.tables[info.tables_number++] = {start, end};
    }
    if (type != usable_memory || info.usable_number == BootInfo::most_ranges) return;
    // What is below the end of the kernel stays as it is: firmware, trampoline, kernel.
    const std::uint64_t first = physical_of_kernel(kernel_end);
    if (start < first) start = first;
    start = (start + page_size - 1) / page_size * page_size;
    end = end / page_size * page_size;
    if (start < end) info.usable[info.usable_number++] = {start, end};
}

void copy_text(BootInfo& info, const char* text) noexcept {
    for (std::size_t i = 0; i + 1 < BootInfo::most_text && text[i] != '\0'; ++i)
        info.command_line[i] = text[i];
}

struct PvhStartInfo {
    std::uint32_t magic, version, flags, modules_number;
    std::uint64_t modules, command_line, acpi_root, memory_map;
    std::uint32_t memory_map_number, reserved;
};
struct PvhRange {
    std::uint64_t start, size;
    std::uint32_t type, reserved;
};

void read_pvh(BootInfo& info, std::uint64_t address) noexcept {
    const auto& start_info = *at_physical<PvhStartInfo>(address);
    if (start_info.magic != 0x336ec578 || start_info.version < 1) panic("no PVH start info");
    info.loader = "PVH";
    const auto* const ranges = at_physical<PvhRange>(start_info.memory_map);
    for (std::uint32_t i = 0; i < start_info.memory_map_number; ++i)
        add_range(info, ranges[i].start, ranges[i].size, ranges[i].type);
    if (start_info.acpi_root != 0) info.acpi_root = *at_physical<AcpiRoot>(start_info.acpi_root);
    if (start_info.command_line != 0) {
        copy_text(info, at_physical<const char>(start_info.command_line));
    }
}

struct MultibootTag {
    std::uint32_t type, size;
};
struct MultibootMap {
    MultibootTag tag;
    std::uint32_t entry_size, version;
};
struct MultibootRange {
    std::uint64_t start, size;
    std::uint32_t type, reserved;
};

void read_multiboot_map(BootInfo& info, std::uint64_t address) noexcept {
    const auto& map = *at_physical<MultibootMap>(address);
    for (std::uint64_t at = sizeof(map); at < map.tag.size; at += map.entry_size) {
        const auto& range = *at_physical<MultibootRange>(address + at);
        add_range(info, range.start, range.size, range.type);
    }
}

void read_multiboot(BootInfo& info, std::uint64_t address) noexcept {
    constexpr std::uint32_t end_tag = 0;
    constexpr std::uint32_t command_line_tag = 1;
    constexpr std::uint32_t memory_map_tag = 6;
    constexpr std::uint32_t old_acpi_tag = 14;
    constexpr std::uint32_t new_acpi_tag = 15;
    info.loader = "Multiboot 2";
    address += 8;
    for (const auto* tag = at_physical<MultibootTag>(address); tag->type != end_tag;
         tag = at_physical<MultibootTag>(address)) {
        const std::uint64_t content = address + sizeof(MultibootTag);
        if (tag->type == command_line_tag) copy_text(info, at_physical<const char>(content));
        if (tag->type == memory_map_tag) read_multiboot_map(info, address);
        if (tag->type == old_acpi_tag || tag->type == new_acpi_tag) {  // the new one comes later
            info.acpi_root = *at_physical<AcpiRoot>(content);
        }
        address += (tag->size + 7U) / 8 * 8;
    }
}

}  // namespace

bool BootInfo::asks_for(const char* word) const noexcept {
    for (const char* start = command_line; *start != '\0'; ++start) {
        std::size_t length = 0;
        while (word[length] != '\0' && start[length] == word[length])
            ++length;
        if (word[length] == '\0') return true;
    }
    return false;
}

std::uint64_t BootInfo::take_page() noexcept {
    MemoryRange* lowest = nullptr;
    for (std::size_t i = 0; i < usable_number; ++i) {
        if (usable[i].start == usable[i].end) continue;
        if (lowest == nullptr || usable[i].start < lowest->start) lowest = &usable[i];
    }
    if (lowest == nullptr) panic("no memory");
    lowest->start += page_size;
    return lowest->start - page_size;
}

void read_boot_info(BootInfo& info, std::uint32_t magic, std::uint32_t address) noexcept {
    constexpr std::uint32_t multiboot2_magic = 0x36d76289;
    print("memory map\n");
    if (magic == multiboot2_magic) {
        read_multiboot(info, address);
    } else {
        read_pvh(info, address);
    }
}

}  // namespace kernel
