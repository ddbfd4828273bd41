// magazine.cpp -- locked caches and caches with magazines: the rows.

#include <cstddef>

#include "magazine.hpp"

namespace {

constinit BuddyBackend<4096> page_frames;

constexpr CacheConfig by_mask{.never_destroyed = true};
constexpr CacheConfig by_map{.slab_size = 8192,
                             .slab_alignment = 4096,
                             .object_size_type = ObjectSizeType::Small,
                             .never_destroyed = true};
constexpr CacheConfig large{
    .slab_size = 8192, .object_size_type = ObjectSizeType::Large, .never_destroyed = true};
constexpr CacheConfig by_frames{.object_size_type = ObjectSizeType::Large,
                                .slab_info_lookup = SlabInfoLookup::PageFrames,
                                .never_destroyed = true};
constexpr CacheConfig unchecked{.checks = Checks::none, .never_destroyed = true};

bool use_page_frames() {
    alignas(4096) static std::byte memory[region_size];
    page_frames.adopt(memory, sizeof(memory));
    return use_both<by_frames, page_frames>();
}

}  // namespace

int main() {
    const bool right = use_both<by_mask>() && use_both<by_map>() && use_both<large>() &&
                       use_page_frames() && use_both<unchecked>();
    return right ? 0 : 1;
}
