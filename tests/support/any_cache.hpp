#pragma once

// any_cache.hpp -- every configuration behind one interface, so that a promise is written once and
// tested in all of them.
//
//      for (const Configuration& configuration : every_configuration()) {
//          DYNAMIC_SECTION(configuration.name) {
//              TestMemory memory;
//              const auto cache = configuration.make(memory);

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/slab_locator.hpp>

#include <support/test_memory.hpp>

namespace support {

using slab_allocator::CacheConfig;
using slab_allocator::CacheStatistics;
using slab_allocator::Checks;
using slab_allocator::DefectReport;
using slab_allocator::Layout;
using slab_allocator::ObjectSizeType;
using slab_allocator::Row;
using slab_allocator::SlabInfoLookup;

/// How many destructors of Objects ran.
inline std::size_t destroyed = 0;

/// An object of any size and alignment, which counts its destruction.
template <std::size_t size, std::size_t alignment = 1>
struct alignas(alignment) Object {
    Object() noexcept {}  // leaves the bytes alone
    ~Object() { ++destroyed; }
    std::byte bytes[size];
};

/// A cache of Objects; an object is the address of its first byte.
class AnyCache {
public:
    AnyCache() = default;
    AnyCache(const AnyCache&) = delete;
    AnyCache& operator=(const AnyCache&) = delete;
    virtual ~AnyCache() = default;

    [[nodiscard]] virtual std::byte* alloc() = 0;
    virtual void free(std::byte* object) = 0;
    [[nodiscard]] virtual std::byte* create() = 0;
    virtual void destroy(std::byte* object) = 0;
    [[nodiscard]] virtual bool alloc_bulk(std::span<std::byte*> objects) = 0;
    virtual void free_bulk(std::span<std::byte* const> objects) = 0;
    virtual std::size_t reserve(std::size_t objects_number) = 0;
    virtual std::size_t shrink(std::size_t most) = 0;
    virtual std::size_t shrink_to_fit() = 0;
    virtual void for_each(const std::function<void(std::byte*)>& visit) = 0;
    [[nodiscard]] virtual bool owns(const std::byte* object) = 0;
    [[nodiscard]] virtual std::size_t out_number(std::span<std::byte* const> objects) = 0;
    [[nodiscard]] virtual CacheStatistics statistics() = 0;
    [[nodiscard]] virtual DefectReport validate() = 0;

    /// The SlabInfo of the slab that `object` lies in, as the cache finds it.
    [[nodiscard]] virtual SlabInfo* slab_info_of(std::byte* object) = 0;
    /// The cache itself.
    [[nodiscard]] virtual std::span<std::byte> bytes() = 0;
};

struct Configuration {
    std::string name;
    Layout layout;
    CacheConfig config;
    std::size_t object_alignment;
    std::unique_ptr<AnyCache> (*make)(TestMemory& memory);

    [[nodiscard]] bool checked() const noexcept { return config.checks != Checks::none; }
    /// Is more than the object in its slot?
    [[nodiscard]] bool guarded() const noexcept { return config.checks > Checks::misuse; }
    [[nodiscard]] std::size_t objects_per_slab() const noexcept { return layout.objects_per_slab; }
    /// As many objects as fill `slabs` slabs.
    [[nodiscard]] std::size_t slabs(std::size_t slabs) const noexcept {
        return slabs * layout.objects_per_slab;
    }
};

template <typename T, typename Backend, CacheConfig config>
class AdaptedCache final : public AnyCache {
public:
    explicit AdaptedCache(TestMemory& memory) : cache_(backend_of(memory)) {}

    std::byte* alloc() override { return bytes_of(cache_.alloc()); }
    void free(std::byte* object) override { cache_.free(object_of(object)); }
    std::byte* create() override { return bytes_of(cache_.create()); }
    void destroy(std::byte* object) override { cache_.destroy(object_of(object)); }
    bool alloc_bulk(std::span<std::byte*> objects) override {
        std::vector<T*> typed(objects.size());
        const bool done = cache_.alloc_bulk(typed);
        for (std::size_t rank = 0; done && rank < typed.size(); ++rank) {
            objects[rank] = bytes_of(typed[rank]);
        }
        return done;
    }
    void free_bulk(std::span<std::byte* const> objects) override {
        cache_.free_bulk(typed(objects));
    }
    std::size_t reserve(std::size_t objects_number) override {
        return cache_.reserve(objects_number);
    }
    std::size_t shrink(std::size_t most) override { return cache_.shrink(most); }
    std::size_t shrink_to_fit() override { return cache_.shrink_to_fit(); }
    void for_each(const std::function<void(std::byte*)>& visit) override {
        cache_.for_each([&visit](T* object) { visit(bytes_of(object)); });
    }
    bool owns(const std::byte* object) override {
        return cache_.owns(static_cast<const T*>(static_cast<const void*>(object)));
    }
    std::size_t out_number(std::span<std::byte* const> objects) override {
        return cache_.out_number(typed(objects));
    }
    CacheStatistics statistics() override { return cache_.statistics(); }
    DefectReport validate() override { return cache_.validate(); }

    SlabInfo* slab_info_of(std::byte* object) override {
        using Locator = slab_allocator::SlabLocator<slab_allocator::layout_of<T, config>, Backend>;
        return slab_allocator::for_backend(Locator::find(cache_.backend(), object));
    }
    std::span<std::byte> bytes() override { return std::as_writable_bytes(std::span(&cache_, 1)); }

private:
    [[nodiscard]] static Backend backend_of(TestMemory& memory) {
        Backend backend;
        backend.memory = &memory;
        return backend;
    }
    [[nodiscard]] static T* object_of(std::byte* object) noexcept {
        return static_cast<T*>(static_cast<void*>(object));
    }
    [[nodiscard]] static std::vector<T*> typed(std::span<std::byte* const> objects) {
        std::vector<T*> result;
        result.reserve(objects.size());
        for (std::byte* const object : objects)
            result.push_back(object_of(object));
        return result;
    }
    [[nodiscard]] static std::byte* bytes_of(T* object) noexcept {
        return static_cast<std::byte*>(static_cast<void*>(object));
    }

    slab_allocator::Cache<T, Backend, config> cache_;
};

/// The backend with just the functions of a row.
template <Row row>
using BackendOf = std::conditional_t<
    row == Row::SmallByMask, SlabsBackend,
    std::conditional_t<row == Row::SmallByMap, MapBackend,
                       std::conditional_t<row == Row::LargeByMap, InfosBackend, FramesBackend>>>;

template <typename T, CacheConfig config>
using CacheOf =
    slab_allocator::Cache<T, BackendOf<slab_allocator::layout_of<T, config>.row>, config>;

/// Every level, every row, every interesting number of objects in a slab.
[[nodiscard]] const std::vector<Configuration>& every_configuration();

/// Those of level misuse and above.
[[nodiscard]] inline std::vector<Configuration> every_checked_configuration() {
    std::vector<Configuration> checked;
    for (const Configuration& configuration : every_configuration()) {
        if (configuration.checked()) checked.push_back(configuration);
    }
    return checked;
}

}  // namespace support
