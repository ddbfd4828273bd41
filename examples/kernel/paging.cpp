// paging.cpp -- four levels of tables, 512 entries each.

#include "paging.hpp"

#include <cstddef>
#include <cstdint>

#include "boot_info.hpp"
#include "interrupts.hpp"
#include "machine.hpp"

extern "C" {
extern char gdt[];  // where boot.S was loaded
extern char text_start[];
extern char rodata_start[];
extern char data_start[];
extern char kernel_end[];
}

namespace kernel {

namespace {

constexpr std::uint64_t small_page = 4096;
constexpr std::uint64_t large_page = 512 * small_page;

constexpr std::uint64_t present = 1;
constexpr std::uint64_t writable = 2;
constexpr std::uint64_t uncached = 0x18;
constexpr std::uint64_t large = 0x80;
constexpr std::uint64_t no_execute = std::uint64_t{1} << 63;
constexpr std::uint64_t address_bits = 0x000f'ffff'ffff'f000;

constinit std::uint64_t root = 0;

struct Table {
    std::uint64_t entries[512];
};

[[nodiscard]] std::uint64_t new_table(BootInfo& info) noexcept {
    const std::uint64_t table = info.take_page();
    *at_physical<Table>(table) = Table{};
    return table;
}

/// Level 0 has the entries of small pages, level 1 those of large ones.
void map(BootInfo& info, std::uint64_t address, std::uint64_t physical, unsigned level,
         std::uint64_t flags) noexcept {
    std::uint64_t table = root;
    for (unsigned above = 3; above > level; --above) {
        std::uint64_t& entry =
            at_physical<Table>(table)->entries[(address >> (12 + 9 * above)) % 512];
        if (entry == 0) entry = new_table(info) | present | writable;
        table = entry & address_bits;
    }
    at_physical<Table>(table)->entries[(address >> (12 + 9 * level)) % 512] =
        physical | flags | present | (level == 0 ? 0 : large);
}

void map_memory(BootInfo& info, const MemoryRange& range, std::uint64_t flags) noexcept {
    for (std::uint64_t at = range.start / large_page * large_page; at < range.end; at += large_page)
        map(info, physical_memory + at, at, 1, flags | writable | no_execute);
}

void map_kernel(BootInfo& info, const char* start, const char* end, std::uint64_t flags) noexcept {
    for (; start < end; start += small_page)
        map(info, reinterpret_cast<std::uint64_t>(start), physical_of_kernel(start), 0, flags);
}

}  // namespace

void build_page_tables(BootInfo& info) noexcept {
    root = new_table(info);
    map_memory(info, {0, physical_of_kernel(kernel_end)}, 0);
    const std::size_t usable_number = info.usable_number;
    for (std::size_t i = 0; i < usable_number; ++i)
        map_memory(info, info.usable[i], 0);
    for (std::size_t i = 0; i < info.tables_number; ++i)
        map_memory(info, info.tables[i], 0);
    map_memory(info, {local_apic_address, local_apic_address + small_page}, uncached);
    map_kernel(info, text_start, rodata_start, 0);
    map_kernel(info, rodata_start, data_start, no_execute);
    map_kernel(info, data_start, kernel_end, writable | no_execute);
    use_kernel_page_tables();
}

void use_kernel_page_tables() noexcept {
    struct [[gnu::packed]] Pointer {
        std::uint16_t last_byte;
        std::uint64_t segments;
    };
    use_page_tables(root);
    const Pointer pointer{23, physical_memory + reinterpret_cast<std::uint64_t>(gdt)};
    asm volatile("lgdt %0" ::"m"(pointer));  // it is no longer where it was
}

}  // namespace kernel
