#pragma once

// boot_info.hpp -- what the boot loader knows, in the words of this kernel.
//
// Everything is copied out of the loader's tables, so that the memory that they are in can be used.

#include <cstddef>
#include <cstdint>

namespace kernel {

/// Physical addresses.
struct MemoryRange {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
};

/// Where the firmware's tables are.
struct [[gnu::packed]] AcpiRoot {
    char signature[8] = {};  ///< empty: not told
    std::uint8_t checksum = 0;
    char maker[6] = {};
    std::uint8_t revision = 0;
    std::uint32_t table32 = 0;
    std::uint32_t length = 0;  // this and the next from revision 2 on
    std::uint64_t table64 = 0;
};

struct BootInfo {
    static constexpr std::size_t most_ranges = 64;
    static constexpr std::size_t most_text = 128;

    const char* loader = "";
    MemoryRange usable[most_ranges];  ///< free memory
    std::size_t usable_number = 0;
    MemoryRange tables[most_ranges];  ///< memory with the firmware's tables in it
    std::size_t tables_number = 0;
    AcpiRoot acpi_root;
    char command_line[most_text] = {};

    [[nodiscard]] bool asks_for(const char* word) const noexcept;

    /// A page of usable memory, for as long as there is no other way to get one: the lowest.
    /// Returns: its physical address.
    [[nodiscard]] std::uint64_t take_page() noexcept;
};

/// Requires: the loader's tables lie in the first GiB.
void read_boot_info(BootInfo& info, std::uint32_t magic, std::uint32_t address) noexcept;

}  // namespace kernel
