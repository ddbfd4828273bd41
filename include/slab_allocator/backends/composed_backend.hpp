#pragma once

// composed_backend.hpp -- one backend made of three parts, each of which answers one question.
//
//                      .-- Slabs   alloc_slab free_slab, slab_info_at where it has that
//      ComposedBackend +-- Infos   alloc_slab_info free_slab_info
//                      '-- Map     save_ get_ delete_slab_info_ptr
//
//      Pages pages;
//      ComposedBackend<BackendRef<Pages>, SlabInfoCache<BackendRef<Pages>>,
//                      HashMap<BackendRef<Pages>>> backend{pages, pages, pages};
//
// Parts are held by value and empty ones take no room; a part that several share is a BackendRef. A
// part that cannot be moved is made in its place from the argument that stands for it.
//
// Invariants
//   [K1] a function is there if its part has it, and answers what the part answers.
//   [K2] the parts die in the order map, infos, slabs: what takes pages before what gives them.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/slab_info.hpp>

namespace slab_allocator {

template <typename Slabs, typename Infos, typename Map>
class ComposedBackend {
public:
    constexpr ComposedBackend() noexcept
        requires std::default_initializable<Slabs> && std::default_initializable<Infos> &&
                     std::default_initializable<Map>
    = default;

    /// Each part from one argument, or from a part of its own type.
    template <typename S = Slabs, typename I = Infos, typename M = Map>
        requires std::constructible_from<Slabs, S> && std::constructible_from<Infos, I> &&
                     std::constructible_from<Map, M>
    constexpr ComposedBackend(S&& slabs, I&& infos, M&& map) noexcept
        : slabs_(std::forward<S>(slabs)),
          infos_(std::forward<I>(infos)),
          map_(std::forward<M>(map)) {}

    [[nodiscard]] constexpr Slabs& slabs() noexcept { return slabs_; }
    [[nodiscard]] constexpr Infos& infos() noexcept { return infos_; }
    [[nodiscard]] constexpr Map& map() noexcept { return map_; }

    [[nodiscard]] constexpr decltype(auto) alloc_slab(std::size_t slab_size,
                                                      std::size_t slab_alignment) noexcept
        requires requires(Slabs& slabs) { slabs.alloc_slab(slab_size, slab_alignment); }
    {
        return slabs_.alloc_slab(slab_size, slab_alignment);
    }

    constexpr decltype(auto) free_slab(void* slab, std::size_t slab_size,
                                       std::size_t slab_alignment) noexcept
        requires requires(Slabs& slabs) { slabs.free_slab(slab, slab_size, slab_alignment); }
    {
        return slabs_.free_slab(slab, slab_size, slab_alignment);
    }

    [[nodiscard]] constexpr decltype(auto) slab_info_at(std::uintptr_t page_addr) noexcept
        requires requires(Slabs& slabs) { slabs.slab_info_at(page_addr); }
    {
        return slabs_.slab_info_at(page_addr);
    }

    [[nodiscard]] constexpr decltype(auto) secret() noexcept
        requires requires(Slabs& slabs) { slabs.secret(); }
    {
        return slabs_.secret();
    }

    [[nodiscard]] constexpr decltype(auto) alloc_slab_info() noexcept
        requires requires(Infos& infos) { infos.alloc_slab_info(); }
    {
        return infos_.alloc_slab_info();
    }

    constexpr decltype(auto) free_slab_info(SlabInfo* slab_info) noexcept
        requires requires(Infos& infos) { infos.free_slab_info(slab_info); }
    {
        return infos_.free_slab_info(slab_info);
    }

    constexpr decltype(auto) save_slab_info_ptr(std::uintptr_t page_addr,
                                                SlabInfo* slab_info) noexcept
        requires requires(Map& map) { map.save_slab_info_ptr(page_addr, slab_info); }
    {
        return map_.save_slab_info_ptr(page_addr, slab_info);
    }

    [[nodiscard]] constexpr decltype(auto) get_slab_info_ptr(std::uintptr_t page_addr) noexcept
        requires requires(Map& map) { map.get_slab_info_ptr(page_addr); }
    {
        return map_.get_slab_info_ptr(page_addr);
    }

    constexpr decltype(auto) delete_slab_info_ptr(std::uintptr_t page_addr) noexcept
        requires requires(Map& map) { map.delete_slab_info_ptr(page_addr); }
    {
        return map_.delete_slab_info_ptr(page_addr);
    }

private:
    [[no_unique_address]] Slabs slabs_{};
    [[no_unique_address]] Infos infos_{};
    [[no_unique_address]] Map map_{};
};

template <typename Slabs, typename Infos, typename Map>
ComposedBackend(Slabs, Infos, Map) -> ComposedBackend<Slabs, Infos, Map>;

template <typename Slabs, typename Infos, typename Map>
inline constexpr bool bears_threads<ComposedBackend<Slabs, Infos, Map>> =
    bears_threads<Slabs> && bears_threads<Infos> && bears_threads<Map>;

}  // namespace slab_allocator
