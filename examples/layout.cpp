// layout.cpp -- what comes to lie in a slab, and what the backend must have for it.
//
//      layout SIZE [ALIGNMENT] [OPTION...]
//
// The numbers are those that a Cache computes at compile time, from the same function: so this is a
// way to choose a configuration, and what is chosen is what one gets.

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string_view>

#include <slab_allocator/core/layout.hpp>

namespace {

using namespace slab_allocator;

constexpr const char* usage =
    "usage: layout SIZE [ALIGNMENT] [OPTION...]\n"
    "\n"
    "What comes to lie in a slab of objects of SIZE bytes, in the words of CacheConfig.\n"
    "\n"
    "  --slab-size N        as .slab_size; without it, the size that loses least\n"
    "  --page-size N        as .page_size\n"
    "  --slab-alignment N   as .slab_alignment: what the backend promises\n"
    "  --small, --large     as .object_size_type; without it, what loses less\n"
    "  --page-frames        as .slab_info_lookup\n"
    "  --checks LEVEL       as .checks: none, misuse, hardened, debug\n"
    "  --json               the numbers, for tools\n";

struct Question {
    std::size_t size = 0;
    std::size_t alignment = 0;
    CacheConfig config = {};
    bool json = false;
};

[[noreturn]] void stop(const char* what, const char* which) {
    std::fprintf(stderr, "layout: %s: %s\n\n%s", what, which, usage);
    std::exit(2);
}

std::size_t number_of(const char* text) {
    std::size_t number = 0;
    const char* const end = text + std::strlen(text);
    const auto [stopped, error] = std::from_chars(text, end, number);
    if (error != std::errc() || stopped != end || number == 0 || number > std::size_t{1} << 40)
        stop("not a number of bytes", text);
    return number;
}

Checks checks_of(std::string_view name) {
    if (name == "none") return Checks::none;
    if (name == "misuse") return Checks::misuse;
    if (name == "hardened") return Checks::hardened;
    if (name == "debug") return Checks::debug;
    stop("not a level", name.data());
}

Question question_of(int count, char** arguments) {
    Question question;
    for (int index = 1; index < count; ++index) {
        const std::string_view option = arguments[index];
        const auto value = [&] {
            if (++index == count) stop("what comes after it", option.data());
            return arguments[index];
        };
        if (option == "--slab-size") {
            question.config.slab_size = number_of(value());
        } else if (option == "--page-size") {
            question.config.page_size = number_of(value());
        } else if (option == "--slab-alignment") {
            question.config.slab_alignment = number_of(value());
        } else if (option == "--small") {
            question.config.object_size_type = ObjectSizeType::Small;
        } else if (option == "--large") {
            question.config.object_size_type = ObjectSizeType::Large;
        } else if (option == "--page-frames") {
            question.config.slab_info_lookup = SlabInfoLookup::PageFrames;
        } else if (option == "--checks") {
            question.config.checks = checks_of(value());
        } else if (option == "--json") {
            question.json = true;
        } else if (option == "--help") {
            std::fputs(usage, stdout);
            std::exit(0);
        } else if (option.starts_with("-")) {
            stop("no such option", option.data());
        } else if (question.size == 0) {
            question.size = number_of(option.data());
        } else if (question.alignment == 0) {
            question.alignment = number_of(option.data());
        } else {
            stop("one number too many", option.data());
        }
    }
    if (question.size == 0) stop("what is missing", "SIZE");
    if (question.alignment == 0) {  // as a struct of that size would have, at most
        const std::size_t power_in_size = question.size & (~question.size + 1);
        question.alignment = power_in_size < 16 ? power_in_size : 16;
    }
    if (!is_power_of_two(question.alignment)) stop("not a power of two", "ALIGNMENT");
    return question;
}

Layout layout_for(const Question& question) {
    return slab_allocator::layout_for(question.size, question.alignment, question.config);
}

const char* why_not(ConfigError error) {
    switch (error) {
        case ConfigError::None:
            return "";
        case ConfigError::PageSizeIsNoPowerOfTwo:
            return "page_size must be a power of two";
        case ConfigError::SlabSizeIsNoPowerOfTwo:
            return "slab_size must be a power of two";
        case ConfigError::SlabSizeIsLessThanAPage:
            return "slab_size must be at least page_size";
        case ConfigError::SlabAlignmentIsNoPowerOfTwo:
            return "slab_alignment must be a power of two";
        case ConfigError::SlabAlignmentIsLessThanAPage:
            return "slab_alignment must be at least page_size";
        case ConfigError::ObjectAlignmentIsTooLarge:
            return "an object can be aligned at most as its slab is: raise slab_alignment";
        case ConfigError::PageFramesAreForLarge:
            return "page frames are for Large";
        case ConfigError::PageFramesNeedNaturalAlignment:
            return "page frames need a slab_alignment of slab_size";
        case ConfigError::NoRoomForAnObject:
            return "no room for an object: raise slab_size";
        case ConfigError::TooManySlotsForLarge:
            return "too many objects for a Large slab: lower slab_size, or take Small";
    }
    return "";
}

double percent_lost(const Layout& layout) {
    return 100.0 * static_cast<double>(layout.bytes_lost_per_slab()) /
           static_cast<double>(layout.bytes_per_slab());
}

const char* functions_of(Row row) {
    switch (row) {
        case Row::SmallByMask:
            return "alloc_slab free_slab";
        case Row::SmallByMap:
            return "alloc_slab free_slab, and the map: save_slab_info_ptr get_slab_info_ptr "
                   "delete_slab_info_ptr";
        case Row::LargeByMap:
            return "alloc_slab free_slab, alloc_slab_info free_slab_info, and the map: "
                   "save_slab_info_ptr get_slab_info_ptr delete_slab_info_ptr";
        case Row::LargeByPageFrames:
            return "alloc_slab free_slab slab_info_at";
    }
    return "";
}

std::size_t slab_info_size(const Layout& layout) {
    return layout.small() ? small_slab_info_size(layout.slots_per_slab) : sizeof(SlabInfo);
}

void print_choice(const Layout& layout, std::size_t alignment) {
    std::printf("object   %zu bytes, aligned to %zu; one every %zu", layout.object_size, alignment,
                layout.stride);
    if (layout.front + layout.behind > 0)
        std::printf(", %zu before it and %zu behind it guarded", layout.front, layout.behind);
    std::printf("\nslab     %zu bytes, aligned to %zu, %zu page(s) of %zu: %s\n", layout.slab_size,
                layout.slab_alignment, layout.pages_per_slab(), layout.page_size,
                layout.small() ? "Small" : "Large");
    std::printf("objects  %zu to a slab\n", layout.objects_per_slab);
    std::printf("lost     %zu bytes a slab, %.2f %%\n", layout.bytes_lost_per_slab(),
                percent_lost(layout));
    std::printf("record   %zu bytes of SlabInfo, ", slab_info_size(layout));
    if (!layout.small()) {
        std::puts("outside of the slab");
    } else if (layout.info_slots > 0) {
        std::printf("in the place of %zu objects, %zu colours\n", layout.info_slots,
                    layout.colours);
    } else {
        std::printf("behind the last object, %zu colours\n", layout.colours);
    }
    std::printf("backend  %s\n", functions_of(layout.row));
}

/// Every slab size, Small and Large, and the one that `chosen` is.
void print_choices(const Question& question, const Layout& chosen) {
    std::puts("\n  slab size     Small objects    lost     Large objects    lost");
    const std::size_t page = question.config.page_size;
    const std::size_t most =
        chosen.slab_size > Layout::largest_search ? chosen.slab_size : Layout::largest_search;
    for (std::size_t slab_size = page; slab_size <= most; slab_size *= 2) {
        std::printf("%11zu  ", slab_size);
        for (const ObjectSizeType type : {ObjectSizeType::Small, ObjectSizeType::Large}) {
            Question other = question;
            other.config.slab_size = slab_size;
            other.config.object_size_type = type;
            const Layout layout = layout_for(other);
            if (layout.error != ConfigError::None) {
                std::printf("%17s %7s ", "-", "");
                continue;
            }
            const bool is_chosen =
                slab_size == chosen.slab_size && layout.small() == chosen.small();
            std::printf("%17zu %6.2f%%%c", layout.objects_per_slab, percent_lost(layout),
                        is_chosen ? '*' : ' ');
        }
        std::putchar('\n');
    }
}

void print_json(const Layout& layout, std::size_t alignment) {
    std::printf(
        "{\"object_size\": %zu, \"object_alignment\": %zu, \"stride\": %zu, "
        "\"slab_size\": %zu, \"slab_alignment\": %zu, \"page_size\": %zu, "
        "\"object_size_type\": \"%s\", \"objects_per_slab\": %zu, "
        "\"bytes_lost_per_slab\": %zu, \"slab_info_size\": %zu, \"info_slots\": %zu, "
        "\"colours\": %zu, \"uses_map\": %s}\n",
        layout.object_size, alignment, layout.stride, layout.slab_size, layout.slab_alignment,
        layout.page_size, layout.small() ? "Small" : "Large", layout.objects_per_slab,
        layout.bytes_lost_per_slab(), slab_info_size(layout), layout.info_slots, layout.colours,
        layout.uses_map() ? "true" : "false");
}

}  // namespace

int main(int count, char** arguments) {
    const Question question = question_of(count, arguments);
    const Layout layout = layout_for(question);
    if (layout.error != ConfigError::None) {
        std::fprintf(stderr, "layout: %s\n", why_not(layout.error));
        return 1;
    }
    if (question.json) {
        print_json(layout, question.alignment);
    } else {
        print_choice(layout, question.alignment);
        print_choices(question, layout);
    }
}
