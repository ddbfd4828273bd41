// buddy_backend_test.cpp -- the promises of buddy_region.hpp and buddy_backend.hpp.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <type_traits>
#include <vector>

#include <backends/slab_promises.hpp>
#include <slab_allocator/backends/buddy_backend.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <support/catch.hpp>
#include <support/random.hpp>

using namespace slab_promises;

namespace {

using Buddy = BuddyBackend<>;
constexpr std::size_t orders_number = Buddy::orders_number;

struct Free {
    void operator()(void* memory) const { std::free(memory); }
};

/// Pages at an address that is aligned to all of them, filled with what nobody may change.
class Memory {
public:
    static constexpr std::byte untouched{0xa7};

    explicit Memory(std::size_t pages)
        : bytes_(std::bit_ceil(pages * page)), memory_(std::aligned_alloc(bytes_, bytes_)) {
        for (std::size_t at = 0; at < bytes_; ++at)
            base()[at] = untouched;
    }
    [[nodiscard]] std::byte* base() const { return static_cast<std::byte*>(memory_.get()); }
    [[nodiscard]] std::byte* at(std::size_t number) const { return base() + number * page; }
    [[nodiscard]] bool is_untouched() const {
        for (std::size_t at = 0; at < bytes_; ++at) {
            if (base()[at] != untouched) return false;
        }
        return true;
    }

private:
    std::size_t bytes_;
    std::unique_ptr<void, Free> memory_;
};

/// Frames that lie elsewhere.
template <typename Backend>
std::unique_ptr<std::byte[]> storage_for(std::size_t pages) {
    return std::make_unique<std::byte[]>(Backend::storage_size(pages));
}

/// What a region must look like from outside: which pages are taken, and by which blocks.
class PagesModel {
public:
    struct Block {
        std::size_t start;
        std::size_t order;
    };

    /// The pages first .. first + number - 1 of a memory.
    PagesModel(std::size_t first, std::size_t number)
        : taken_(first + number, false), first_(first) {
        for (std::size_t before = 0; before < first; ++before)
            taken_[before] = true;
    }

    [[nodiscard]] const std::vector<Block>& blocks() const { return blocks_; }

    [[nodiscard]] bool fits(Block block) const {
        if (block.start % (std::size_t{1} << block.order) != 0) return false;
        return is_free(block.start, block.order);
    }
    void take(Block block) {
        mark(block, true);
        blocks_.push_back(block);
    }
    Block give_back(std::size_t rank) {
        const Block block = blocks_[rank];
        blocks_[rank] = blocks_.back();
        blocks_.pop_back();
        mark(block, false);
        return block;
    }

    /// The largest aligned runs of free pages, by order.
    [[nodiscard]] std::array<std::size_t, orders_number> free_blocks() const {
        std::array<std::size_t, orders_number> numbers{};
        for (std::size_t start = first_; start < taken_.size();) {
            std::size_t order = 0;
            while (start % (std::size_t{2} << order) == 0 && is_free(start, order + 1))
                ++order;
            if (is_free(start, order)) ++numbers[order];
            start += std::size_t{1} << order;
        }
        return numbers;
    }
    [[nodiscard]] bool has_room(std::size_t order) const {
        const auto numbers = free_blocks();
        for (; order < orders_number; ++order) {
            if (numbers[order] != 0) return true;
        }
        return false;
    }

private:
    [[nodiscard]] bool is_free(std::size_t start, std::size_t order) const {
        const std::size_t end = start + (std::size_t{1} << order);
        if (end > taken_.size()) return false;
        for (; start < end; ++start) {
            if (taken_[start]) return false;
        }
        return true;
    }
    void mark(Block block, bool taken) {
        for (std::size_t i = 0; i < std::size_t{1} << block.order; ++i)
            taken_[block.start + i] = taken;
    }

    std::vector<bool> taken_;
    std::size_t first_;
    std::vector<Block> blocks_;
};

template <typename Backend>
bool agree(const Backend& backend, const PagesModel& model) {
    const auto expected = model.free_blocks();
    std::size_t free_pages = 0;
    for (std::size_t order = 0; order < orders_number; ++order) {
        if (backend.free_blocks_number(order) != expected[order]) return false;
        free_pages += expected[order] << order;
    }
    return backend.free_pages_number() == free_pages;
}

/// One allocation, in both. Returns: whether they agree.
template <typename Backend>
bool alloc_in_both(Backend& backend, PagesModel& model, const Memory& memory, std::size_t order) {
    void* const memory_of_block = backend.alloc_order(order);
    if (memory_of_block == nullptr) return !model.has_room(order) && agree(backend, model);
    const std::size_t offset = address_of(memory_of_block) - address_of(memory.base());
    const PagesModel::Block block{offset / page, order};
    if (offset % page != 0 || !model.fits(block)) return false;
    model.take(block);
    return agree(backend, model);
}

template <typename Backend>
bool free_in_both(Backend& backend, PagesModel& model, const Memory& memory, std::size_t rank) {
    const PagesModel::Block block = model.give_back(rank);
    backend.free_order(memory.at(block.start), block.order);
    return agree(backend, model);
}

/// Every sequence of allocations and frees of up to `depth` calls, each from the beginning.
class EverySequence {
public:
    EverySequence(std::size_t first, std::size_t pages, std::size_t most_order)
        : memory_(16),
          storage_(storage_for<Buddy>(pages)),
          first_(first),
          pages_(pages),
          orders_(most_order + 1) {}

    /// Returns: how many sequences.
    std::size_t walk(std::size_t depth) {
        if (!calls_.empty()) replay();
        std::size_t number = 1;
        if (depth == 0) return number;
        const std::size_t choices = orders_ + live_;
        for (std::size_t call = 0; call < choices; ++call) {
            calls_.push_back(call);
            number += walk(depth - 1);
            calls_.pop_back();
        }
        return number;
    }
    [[nodiscard]] bool right() const { return wrong_ == 0; }
    [[nodiscard]] bool untouched() const { return memory_.is_untouched(); }

private:
    void replay() {
        Buddy buddy;
        buddy.adopt(memory_.at(first_), pages_ * page, storage_.get());
        PagesModel model(first_, pages_);
        bool right = agree(buddy, model);
        for (const std::size_t call : calls_) {
            if (call < orders_) {
                right = alloc_in_both(buddy, model, memory_, call) && right;
            } else if (call - orders_ < model.blocks().size()) {
                right = free_in_both(buddy, model, memory_, call - orders_) && right;
            }
        }
        live_ = model.blocks().size();
        while (!model.blocks().empty())
            right = free_in_both(buddy, model, memory_, model.blocks().size() - 1) && right;
        wrong_ += right ? 0 : 1;
    }

    Memory memory_;
    std::unique_ptr<std::byte[]> storage_;
    std::size_t first_;
    std::size_t pages_;
    std::size_t orders_;
    std::vector<std::size_t> calls_;
    std::size_t live_ = 0;
    std::size_t wrong_ = 0;
};

constinit BuddyBackend<> static_buddy;
constinit BuddyBackend<page> static_frames;

TEST_CASE("page frames serve caches by masking, and where they have SlabInfos, by page frames",
          "[buddy]") {
    constexpr CacheConfig by_mask{.object_size_type = ObjectSizeType::Small};
    constexpr CacheConfig by_frames{.object_size_type = ObjectSizeType::Large,
                                    .slab_info_lookup = SlabInfoLookup::PageFrames};
    STATIC_REQUIRE(MemoryBackend<BuddyBackend<>, by_mask>);
    STATIC_REQUIRE_FALSE(MemoryBackend<BuddyBackend<>, by_frames>);
    STATIC_REQUIRE(MemoryBackend<BuddyBackend<page>, by_mask>);
    STATIC_REQUIRE(MemoryBackend<BuddyBackend<page>, by_frames>);
    STATIC_REQUIRE(MemoryBackend<BackendRef<BuddyBackend<page>>, by_frames>);
    STATIC_REQUIRE_FALSE(
        MemoryBackend<BuddyBackend<page>, CacheConfig{.object_size_type = ObjectSizeType::Large}>);
}

TEST_CASE("page frames have nothing to destroy and cannot be copied", "[buddy]") {
    STATIC_REQUIRE(std::is_trivially_destructible_v<BuddyBackend<>>);
    STATIC_REQUIRE(std::is_trivially_destructible_v<BuddyBackend<page>>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<BuddyBackend<>>);
    STATIC_REQUIRE(sizeof(BuddyBackend<page>) == sizeof(BuddyBackend<>));
}

TEST_CASE("SlabInfos among the frames cost their size for each info_grain, and nothing without",
          "[buddy]") {
    constexpr std::size_t pages = 1024;
    constexpr auto per_page = [](auto size) { return (size(2 * pages) - size(pages)) / pages; };
    STATIC_REQUIRE(per_page(BuddyBackend<>::storage_size) == sizeof(PageFrame));
    STATIC_REQUIRE(per_page(BuddyBackend<page>::storage_size) ==
                   sizeof(PageFrame) + sizeof(SlabInfo));
    STATIC_REQUIRE(per_page(BuddyBackend<4 * page>::storage_size) ==
                   sizeof(PageFrame) + sizeof(SlabInfo) / 4);
}

TEST_CASE("every sequence of allocations and frees on 8 pages leaves the largest free blocks",
          "[buddy]") {
    EverySequence sequences(0, 8, 4);
    const std::size_t number = sequences.walk(7);
    CHECK(number > 100'000);
    CHECK(sequences.right());
    CHECK(sequences.untouched());
}

TEST_CASE("every sequence on a region that starts and ends askew", "[buddy]") {
    const std::size_t first = GENERATE(1U, 2U, 3U, 5U, 7U);
    const std::size_t pages = GENERATE(1U, 3U, 6U, 9U);
    CAPTURE(first, pages);
    EverySequence sequences(first, pages, 3);
    sequences.walk(5);
    CHECK(sequences.right());
    CHECK(sequences.untouched());
}

TEST_CASE("all orders, sizes and places of a region are served up to exhaustion", "[buddy]") {
    const Memory memory(64);
    for (std::size_t first = 0; first < 16; ++first) {
        for (std::size_t pages = 1; pages <= 48; ++pages) {
            const auto storage = storage_for<Buddy>(pages);
            Buddy buddy;
            REQUIRE(buddy.adopt(memory.at(first), pages * page, storage.get()) == pages);
            for (std::size_t order = 0; order < 7; ++order) {
                PagesModel model(first, pages);
                bool right = agree(buddy, model);
                while (model.has_room(order))
                    right = alloc_in_both(buddy, model, memory, order) && right;
                right = right && buddy.alloc_order(order) == nullptr;
                while (!model.blocks().empty())
                    right = free_in_both(buddy, model, memory, 0) && right;
                if (!right) FAIL(first << " " << pages << " " << order);
            }
        }
    }
    REQUIRE(memory.is_untouched());
}

TEST_CASE("a random walk agrees with a model after every call", "[buddy]") {
    const Memory memory(256);
    support::Random random(support::seed());
    for (const std::size_t first : {0U, 3U}) {
        const std::size_t pages = 200;
        const auto storage = storage_for<Buddy>(pages);
        Buddy buddy;
        buddy.adopt(memory.at(first), pages * page, storage.get());
        PagesModel model(first, pages);
        bool right = true;
        for (std::size_t call = 0; call < 20'000; ++call) {
            const bool grows = random.below(8) < (call / 2000 % 2 == 0 ? 5U : 3U);
            if (grows || model.blocks().empty()) {
                right = alloc_in_both(buddy, model, memory, random.below(6)) && right;
            } else {
                right = free_in_both(buddy, model, memory, random.below(model.blocks().size())) &&
                        right;
            }
        }
        while (!model.blocks().empty())
            right = free_in_both(buddy, model, memory, model.blocks().size() - 1) && right;
        REQUIRE(right);
    }
    REQUIRE(memory.is_untouched());
}

TEST_CASE("blocks keep what is written in them, whatever their neighbours do", "[buddy]") {
    const Memory memory(4096);
    static_buddy.adopt(memory.at(0), 4096 * page);
    const std::size_t free_pages = static_buddy.free_pages_number();
    serve_every_size_and_alignment(static_buddy, mebibyte / 4, 65536);
    serve_at_random(static_buddy, 5, 9, 5, 150, true);
    REQUIRE(static_buddy.free_pages_number() == free_pages);
    REQUIRE(static_buddy.pages_in_use() == 0);
}

TEST_CASE("the frames take the start of a region, and no page more than they need", "[buddy]") {
    const Memory memory(2048);
    for (std::size_t pages = 1; pages <= 1500; pages += 1 + pages / 16) {
        Buddy buddy;
        const std::size_t served = buddy.adopt(memory.at(0) + 1, pages * page + page - 1);
        if (pages == 1) {
            REQUIRE(served == 0);
            continue;
        }
        const std::size_t own = pages - served;
        CAPTURE(pages, served);
        REQUIRE(Buddy::storage_size(served) <= own * page);
        REQUIRE(Buddy::storage_size(served + 1) > (own - 1) * page);
        REQUIRE_FALSE(buddy.contains(memory.at(own)));
        REQUIRE(buddy.contains(memory.at(own + 1)));
        REQUIRE(buddy.contains(memory.at(pages + 1) - 1));
        REQUIRE_FALSE(buddy.contains(memory.at(pages + 1)));
    }
}

TEST_CASE("a region without a whole page to give is left alone", "[buddy]") {
    const Memory memory(2);
    const auto storage = storage_for<Buddy>(1);
    Buddy buddy;
    REQUIRE(buddy.alloc_order(0) == nullptr);
    REQUIRE(buddy.adopt(memory.at(0) + 1, 100) == 0);
    REQUIRE(buddy.adopt(memory.at(0), page) == 0);
    REQUIRE(buddy.adopt(memory.at(0) + 1, page, storage.get()) == 0);
    REQUIRE(memory.is_untouched());
    REQUIRE(buddy.pages_number() == 0);
    REQUIRE(buddy.adopt(memory.at(0) + 1, 2 * page - 1, storage.get()) == 1);
    REQUIRE(buddy.alloc_order(0) == memory.at(1));
}

TEST_CASE("holes in the memory map are never given, and blocks do not grow over them", "[buddy]") {
    const Memory memory(32);
    const auto low = storage_for<Buddy>(7);
    const auto high = storage_for<Buddy>(16);
    Buddy buddy;
    REQUIRE(buddy.adopt(memory.at(0), 7 * page, low.get()) == 7);
    REQUIRE(buddy.adopt(memory.at(8), 16 * page, high.get()) == 16);
    REQUIRE(buddy.pages_number() == 23);
    REQUIRE_FALSE(buddy.contains(memory.at(7)));

    std::vector<void*> blocks;
    while (void* block = buddy.alloc_order(0))
        blocks.push_back(block);
    REQUIRE(blocks.size() == 23);
    for (void* block : blocks)
        REQUIRE(block != memory.at(7));
    for (void* block : blocks)
        buddy.free_order(block, 0);
    REQUIRE(buddy.free_blocks_number(3) == 2);  // pages 8 to 23: not aligned to order 4
    REQUIRE(buddy.free_blocks_number(2) == 1);
    REQUIRE(buddy.free_blocks_number(1) == 1);
    REQUIRE(buddy.free_blocks_number(0) == 1);
    REQUIRE(memory.is_untouched());
}

TEST_CASE("the smallest block that is large enough is split, whichever region has it", "[buddy]") {
    const Memory memory(32);
    const auto one = storage_for<Buddy>(2);
    const auto two = storage_for<Buddy>(8);
    for (const bool small_first : {true, false}) {
        Buddy buddy;
        if (small_first) buddy.adopt(memory.at(16), 2 * page, one.get());
        buddy.adopt(memory.at(0), 8 * page, two.get());
        if (!small_first) buddy.adopt(memory.at(16), 2 * page, one.get());
        REQUIRE(buddy.alloc_order(0) == memory.at(16));
        REQUIRE(buddy.alloc_order(0) == memory.at(17));
        REQUIRE(buddy.free_blocks_number(3) == 1);
    }
}

TEST_CASE("a slab of any size and alignment gets the smallest block that has both", "[buddy]") {
    const Memory memory(64);
    const auto storage = storage_for<Buddy>(64);
    Buddy buddy;
    buddy.adopt(memory.at(0), 64 * page, storage.get());
    struct Case {
        std::size_t size, alignment, pages;
    };
    for (const Case& each :
         {Case{1, 1, 1}, Case{page, page, 1}, Case{page + 1, page, 2}, Case{3 * page, page, 4},
          Case{page, 8 * page, 8}, Case{64 * page, page, 64}, Case{32 * page + 1, page, 64}}) {
        CAPTURE(each.size, each.alignment);
        void* const slab = buddy.alloc_slab(each.size, each.alignment);
        REQUIRE(slab != nullptr);
        REQUIRE(is_aligned(slab, each.pages * page));
        REQUIRE(buddy.pages_in_use() == each.pages);
        buddy.free_slab(slab, each.size, each.alignment);
        REQUIRE(buddy.pages_in_use() == 0);
    }
    for (const std::size_t huge :
         {65 * page, mebibyte * mebibyte, ~std::size_t{0}, ~std::size_t{0} / 2 + 2}) {
        REQUIRE(buddy.alloc_slab(huge, page) == nullptr);
    }
    REQUIRE(buddy.alloc_slab(0, page) == nullptr);
    REQUIRE(buddy.alloc_slab(page, ~std::size_t{0} / 2 + 1) == nullptr);
    REQUIRE(buddy.alloc_order(orders_number) == nullptr);
    REQUIRE(buddy.alloc_order(~std::size_t{0}) == nullptr);
    REQUIRE(buddy.free_blocks_number(6) == 1);
}

TEST_CASE("page frames give every page, then refuse, and recover", "[buddy]") {
    const Memory memory(64);
    const auto storage = storage_for<Buddy>(64);
    Buddy buddy;
    buddy.adopt(memory.at(0), 64 * page, storage.get());
    std::vector<void*> slabs;
    while (void* slab = buddy.alloc_slab(page, page))
        slabs.push_back(slab);
    REQUIRE(slabs.size() == 64);
    REQUIRE(buddy.free_pages_number() == 0);
    REQUIRE(buddy.alloc_slab(page, page) == nullptr);
    for (std::size_t number = 1; number < 64; number += 2)
        buddy.free_slab(slabs[number], page, page);
    REQUIRE(buddy.free_pages_number() == 32);
    REQUIRE(buddy.alloc_slab(2 * page, page) == nullptr);  // every second page
    for (std::size_t number = 0; number < 64; number += 2)
        buddy.free_slab(slabs[number], page, page);
    REQUIRE(buddy.alloc_slab(64 * page, page) == memory.at(0));
    buddy.free_slab(memory.at(0), 64 * page, page);
    REQUIRE(buddy.pages_in_use() == 0);
}

TEST_CASE("a free of what is no block of that order is reported, refused and changes nothing",
          "[buddy]") {
    const Memory memory(64);
    const auto storage = storage_for<Buddy>(16);
    Buddy buddy;
    buddy.adopt(memory.at(16), 16 * page, storage.get());
    void* const taken = buddy.alloc_order(2);
    REQUIRE(taken == memory.at(16));
    PagesModel model(16, 16);
    model.take({16, 2});

    static std::byte elsewhere[16];
    const auto defect = [&](void* block, std::size_t order) {
        const Defect found = defect_of([&] { buddy.free_order(block, order); });
        CHECK(agree(buddy, model));
        return found;
    };
    for (void* const foreign :
         {static_cast<void*>(nullptr), static_cast<void*>(elsewhere),
          static_cast<void*>(memory.at(16) + 1), static_cast<void*>(memory.at(15)),
          static_cast<void*>(memory.at(32)), static_cast<void*>(memory.at(17)),
          static_cast<void*>(memory.at(18)), static_cast<void*>(memory.at(19))}) {
        CHECK(defect(foreign, 2) == Defect::ForeignPointer);
        CHECK(defect(foreign, 0) == Defect::ForeignPointer);
    }
    for (const std::size_t order : {0U, 1U, 3U, 4U, 31U, 32U, 1000U})
        CHECK(defect(taken, order) == Defect::ForeignPointer);
    for (std::size_t number = 20; number < 32; ++number) {
        for (const std::size_t order : {0U, 1U, 2U, 3U})
            CHECK(defect(memory.at(number), order) == Defect::DoubleFree);
    }
    CHECK(defect_of([&] { buddy.free_slab(taken, page, page); }) == Defect::ForeignPointer);
    CHECK(agree(buddy, model));
    model.give_back(0);
    CHECK(defect(taken, 2) == Defect::None);
    CHECK(defect(taken, 2) == Defect::DoubleFree);  // it is the start of a block of 16 now
    REQUIRE(buddy.free_blocks_number(4) == 1);
}

TEST_CASE("a double free is found while the block is free, at once and after others", "[buddy]") {
    const Memory memory(16);
    const auto storage = storage_for<Buddy>(16);
    Buddy buddy;
    buddy.adopt(memory.at(0), 16 * page, storage.get());
    std::vector<void*> blocks;
    while (void* block = buddy.alloc_order(0))
        blocks.push_back(block);
    std::size_t found = 0;
    for (std::size_t done = 0; done < blocks.size(); ++done) {
        buddy.free_order(blocks[done], 0);
        for (std::size_t again = 0; again <= done; ++again) {
            found += defect_of([&] { buddy.free_order(blocks[again], 0); }) == Defect::DoubleFree;
        }
    }
    REQUIRE(found == 16 * 17 / 2);
    REQUIRE(buddy.free_blocks_number(4) == 1);
}

TEST_CASE("every slab has a SlabInfo of its own among the page frames", "[buddy]") {
    const Memory memory(64);
    const auto check = [&](auto& backend, std::size_t grain, std::size_t first, std::size_t pages) {
        const SlabInfo* before = nullptr;
        for (std::size_t number = 0; number < 64; ++number) {
            SlabInfo* const info = backend.slab_info_at(address_of(memory.at(number)));
            const bool served = number >= first && number < first + pages;
            CAPTURE(grain, number);
            REQUIRE((info != nullptr) == (served && number % (grain / page) == 0));
            if (info == nullptr) continue;
            REQUIRE(info->owner == nullptr);
            REQUIRE((before == nullptr || before + 1 == info));
            before = info;
        }
    };
    const auto serve = [&](auto& backend, std::size_t grain, std::size_t first, std::size_t pages) {
        const std::size_t size = backend.storage_size(pages);
        std::vector<std::byte> storage(size + 512, Memory::untouched);
        backend.adopt(memory.at(first), pages * page, storage.data());
        check(backend, grain, first, pages);
        for (std::size_t behind = size; behind < storage.size(); ++behind)
            REQUIRE(storage[behind] == Memory::untouched);
    };
    for (const std::size_t first : {0U, 1U, 3U, 6U}) {
        for (const std::size_t pages : {1U, 2U, 4U, 13U, 32U}) {
            BuddyBackend<page> each;
            serve(each, page, first, pages);
            BuddyBackend<16 * page> sixteenth;
            serve(sixteenth, 16 * page, first, pages);
        }
    }
}

struct Object {
    std::uint64_t words[12];
};

TEST_CASE("caches share page frames, find their SlabInfos there, and give every page back",
          "[buddy]") {
    const Memory memory(2048);
    static_frames.adopt(memory.at(0), 1000 * page);
    static_frames.adopt(memory.at(1100), 900 * page);
    using Pages = BackendRef<BuddyBackend<page>>;
    {
        Cache<Object, Pages,
              CacheConfig{.slab_size = page,
                          .object_size_type = ObjectSizeType::Large,
                          .slab_info_lookup = SlabInfoLookup::PageFrames}>
            one{Pages(static_frames)};
        Cache<Object, Pages,
              CacheConfig{.slab_size = 4 * page,
                          .object_size_type = ObjectSizeType::Large,
                          .slab_info_lookup = SlabInfoLookup::PageFrames}>
            other{Pages(static_frames)};
        std::vector<Object*> ones;
        std::vector<Object*> others;
        for (Object* object = one.create(); object != nullptr; object = one.create()) {
            ones.push_back(object);
            Object* const second = other.create();
            if (second != nullptr) others.push_back(second);
        }
        REQUIRE(static_frames.free_pages_number() == 0);
        REQUIRE(ones.size() + others.size() > 1900 * page / sizeof(Object) * 95 / 100);
        REQUIRE(one.validate().defect == Defect::None);
        REQUIRE(other.validate().defect == Defect::None);
        // The first page of a slab knows its cache; of the others only their own cache asks.
        const Defect wrong = defect_of([&] { one.free(others.front()); });
        REQUIRE((wrong == Defect::OtherCache || wrong == Defect::ForeignPointer));
        for (Object* object : ones)
            one.free(object);
        one.shrink_to_fit();
        REQUIRE(defect_of([&] { one.free(ones.front()); }) == Defect::ForeignPointer);
        for (Object* object : others)
            other.free(object);
    }
    REQUIRE(static_frames.pages_in_use() == 0);
}

}  // namespace
