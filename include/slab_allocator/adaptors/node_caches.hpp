#pragma once

// node_caches.hpp -- a cache for each size of node, made when the first such node is wanted.
//
//      table   | 8 | 16 | 24 | ... | 40 | ... | 1024 |            one entry for each 8 bytes
//                                    |
//      backend: one page or more <---'--> | calls | Cache of blocks of 40 bytes |
//
// Who asks knows the type of the node, so its entry is found at compile time: a node's way is that
// of a Cache, inlined, and one load more. Containers whose nodes have one size share a cache,
// whatever their types. A block is as aligned as its size allows, which costs nothing, since slots
// stand side by side from the start of a slab: so the size alone names the cache.
//
// Invariants
//   [N1] an entry is null, or leads to the one cache of its size, until the caches are destroyed
//   [N2] an entry is published whole: who reads it sees the cache behind it

#include <bit>
#include <concepts>
#include <cstddef>
#include <new>
#include <utility>

#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/magazine/atomics.hpp>

namespace slab_allocator {

namespace detail {

/// The memory of a node, aligned as its size allows; where objects are guarded, to 16 at most,
/// since zones are as wide as that.
template <std::size_t size, std::size_t alignment>
struct alignas(alignment) NodeBlock {
    std::byte bytes[size];
};

}  // namespace detail

/// Kind: which cache, and thereby for how many threads (cache_kind.hpp). Config: of every cache.
template <typename Backend, typename Kind, CacheConfig Config>
class NodeCaches {
    static constexpr std::size_t grain = 8;
    static constexpr bool guarded = Config.checks > Checks::misuse;

    [[nodiscard]] static constexpr std::size_t block_size(std::size_t size) noexcept {
        return align_up(size, grain);
    }
    [[nodiscard]] static constexpr std::size_t block_alignment(std::size_t size) noexcept {
        const std::size_t most = block_size(size) & (~block_size(size) + 1);
        return guarded && most > 16 ? 16 : most;
    }

public:
    static constexpr std::size_t largest_size = 1024;

    /// Is there a cache for nodes of that size and alignment? For none of no bytes.
    [[nodiscard]] static constexpr bool serves(std::size_t size, std::size_t alignment) noexcept {
        return size <= largest_size && alignment <= block_alignment(size);
    }

    template <std::size_t size>
    using Block = detail::NodeBlock<block_size(size), block_alignment(size)>;
    template <std::size_t size>
    using CacheFor = typename Kind::template Cache<Block<size>, BackendRef<Backend>, Config>;

    constexpr explicit NodeCaches(Backend& backend) noexcept : backend_(backend) {}
    NodeCaches(const NodeCaches&) = delete;  // their slabs know the caches, the caches the backend
    NodeCaches& operator=(const NodeCaches&) = delete;

    /// As Cache's: nodes that are live then are a Defect::Leak of their cache.
    constexpr ~NodeCaches()
        requires(!Config.never_destroyed)
    {
        for_each_entry([&](Entry& entry) { entry.calls->end(entry, backend_); });
    }
    constexpr ~NodeCaches()
        requires(Config.never_destroyed)
    = default;

    /// Returns: memory for a node, uninitialised; nullptr: the backend refused. Costs: O(1).
    template <std::size_t size>
    [[nodiscard]] void* alloc() noexcept {
        auto* const cache = find<size>();
        if (cache == nullptr) [[unlikely]]
            return alloc_first<size>();
        return cache->alloc();
    }

    /// Takes back what alloc<size>() gave; nullptr does nothing. Costs: O(1).
    template <std::size_t size>
    void free(void* node) noexcept {
        auto* const cache = find<size>();
        if (cache == nullptr) [[unlikely]]
            return free_unknown(node);
        cache->free(static_cast<Block<size>*>(node));
    }

    /// The cache of nodes of `size` bytes, made where there is none; nullptr: the backend refused.
    template <std::size_t size>
    [[nodiscard]] CacheFor<size>* cache() noexcept {
        auto* const known = find<size>();
        return known != nullptr ? known : make<size>();
    }

    /// Gives all Free slabs of all caches back. Returns: how many.
    std::size_t shrink_to_fit() noexcept {
        std::size_t sum = 0;
        for_each_entry([&](Entry& entry) { sum += entry.calls->shrink_to_fit(entry); });
        return sum;
    }

    /// The sums of all caches, of their peaks, too.
    [[nodiscard]] CacheStatistics statistics() noexcept {
        CacheStatistics sum;
        for_each_entry([&](Entry& entry) { sum += entry.calls->statistics(entry); });
        return sum;
    }

private:
    struct Entry;
    struct Calls {
        void (*end)(Entry&, Backend&) noexcept;
        std::size_t (*shrink_to_fit)(Entry&) noexcept;
        CacheStatistics (*statistics)(Entry&) noexcept;
    };
    struct Entry {
        const Calls* calls;
    };

    template <std::size_t size>
    struct EntryOf : Entry {
        static constexpr std::size_t page = Config.page_size;
        static constexpr std::size_t bytes() noexcept {
            return sizeof(EntryOf) < page ? page : std::bit_ceil(sizeof(EntryOf));
        }
        constexpr explicit EntryOf(Backend& backend) noexcept
            : Entry{&calls_of}, cache(BackendRef<Backend>(backend)) {}
        [[nodiscard]] static EntryOf* make(Backend& backend) noexcept {
            void* const memory = backend.alloc_slab(bytes(), bytes());
            return memory == nullptr ? nullptr : ::new (memory) EntryOf(backend);
        }
        static void end(Entry& entry, Backend& backend) noexcept {
            static_cast<EntryOf&>(entry).~EntryOf();
            backend.free_slab(&entry, bytes(), bytes());
        }
        static std::size_t shrink_to_fit(Entry& entry) noexcept {
            return static_cast<EntryOf&>(entry).cache.shrink_to_fit();
        }
        static CacheStatistics statistics(Entry& entry) noexcept {
            return static_cast<EntryOf&>(entry).cache.statistics();
        }
        static constexpr Calls calls_of{&end, &shrink_to_fit, &statistics};

        CacheFor<size> cache;
    };

    [[nodiscard]] static Entry* load(Entry*& place) noexcept {
        return BuiltinAtomics::load_acquire(place);  // [N2]
    }
    template <typename F>
    void for_each_entry(F f) noexcept {
        for (Entry*& place : entries_) {
            if (Entry* const entry = load(place); entry != nullptr) f(*entry);
        }
    }

    template <std::size_t size>
    [[nodiscard]] CacheFor<size>* find() noexcept {
        Entry* const entry = load(entries_[index_of(size)]);
        if (entry == nullptr) return nullptr;
        return &static_cast<EntryOf<block_size(size)>*>(entry)->cache;
    }
    [[nodiscard]] static constexpr std::size_t index_of(std::size_t size) noexcept {
        return block_size(size) / grain - 1;
    }

    template <std::size_t size>
    [[nodiscard, gnu::noinline]] CacheFor<size>* make() noexcept {
        using New = EntryOf<block_size(size)>;
        New* const made = New::make(backend_);
        if (made == nullptr) return nullptr;
        Entry* known = nullptr;
        if (BuiltinAtomics::compare_exchange_publishing(entries_[index_of(size)], known,
                                                        static_cast<Entry*>(made))) {
            return &made->cache;
        }
        New::end(*made, backend_);  // another thread was first [N1]
        return &static_cast<New*>(known)->cache;
    }
    template <std::size_t size>
    [[nodiscard, gnu::noinline]] void* alloc_first() noexcept {
        auto* const cache = make<size>();
        return cache == nullptr ? nullptr : cache->alloc();
    }
    [[gnu::noinline, gnu::cold]] void free_unknown(void* node) noexcept {
        if (node == nullptr) return;
        report({.defect = Defect::ForeignPointer, .pointer = node, .cache = this});
    }

    Backend& backend_;
    Entry* entries_[largest_size / grain] = {};
};

}  // namespace slab_allocator
