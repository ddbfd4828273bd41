// backend_ref_test.cpp -- the promises of backend_ref.hpp.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <support/catch.hpp>

using namespace slab_allocator;

namespace {

struct Calls {
    std::size_t size = 0;
    std::size_t alignment = 0;
    const void* slab = nullptr;
    std::uintptr_t page_addr = 0;
    const SlabInfo* slab_info = nullptr;
};

struct SlabsOnly {
    Calls calls{};
    std::byte slab[8]{};

    constexpr void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment) noexcept {
        calls.size = slab_size;
        calls.alignment = slab_alignment;
        return slab;
    }
    constexpr void free_slab(void* freed, std::size_t slab_size,
                             std::size_t slab_alignment) noexcept {
        calls = {.size = slab_size, .alignment = slab_alignment, .slab = freed};
    }
};

struct Everything : SlabsOnly {
    SlabInfo* slab_info = nullptr;

    SlabInfo* alloc_slab_info() noexcept { return slab_info; }
    void free_slab_info(SlabInfo* freed) noexcept { calls.slab_info = freed; }
    bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* saved) noexcept {
        calls.page_addr = page_addr;
        calls.slab_info = saved;
        return saved != nullptr;
    }
    SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr) noexcept {
        calls.page_addr = page_addr;
        return slab_info;
    }
    void delete_slab_info_ptr(std::uintptr_t page_addr) noexcept { calls.page_addr = page_addr; }
    SlabInfo* slab_info_at(std::uintptr_t page_addr) noexcept {
        calls.page_addr = page_addr;
        return slab_info;
    }
    std::uint64_t secret() noexcept { return 0x5ec; }
};

struct WrongAnswers {
    char* alloc_slab(std::size_t, std::size_t) noexcept { return nullptr; }
    int free_slab(void*, std::size_t, std::size_t) noexcept { return 0; }
    void* alloc_slab_info() noexcept { return nullptr; }
    bool free_slab_info(SlabInfo*) noexcept { return true; }
    int save_slab_info_ptr(std::uintptr_t, SlabInfo*) noexcept { return 1; }
    const SlabInfo* get_slab_info_ptr(std::uintptr_t) noexcept { return nullptr; }
    bool delete_slab_info_ptr(std::uintptr_t) noexcept { return true; }
    const SlabInfo* slab_info_at(std::uintptr_t) noexcept { return nullptr; }
    std::uint32_t secret() noexcept { return 0; }
};

struct WrongArguments {
    void* alloc_slab(std::size_t) noexcept { return nullptr; }
    void free_slab(void*) noexcept {}
    void free_slab_info() noexcept {}
    SlabInfo* get_slab_info_ptr(void*) noexcept { return nullptr; }
};

struct SavesWithoutFail {
    void save_slab_info_ptr(std::uintptr_t, SlabInfo*) noexcept {}
};

/// Has Backend each function exactly where its reference has it?
template <typename Backend>
constexpr bool same_set = [] {
    using Reference = BackendRef<Backend>;
    namespace has = backend_has;
    return has::alloc_slab<Backend> == has::alloc_slab<Reference> &&
           has::free_slab<Backend> == has::free_slab<Reference> &&
           has::alloc_slab_info<Backend> == has::alloc_slab_info<Reference> &&
           has::free_slab_info<Backend> == has::free_slab_info<Reference> &&
           has::save_slab_info_ptr<Backend> == has::save_slab_info_ptr<Reference> &&
           has::get_slab_info_ptr<Backend> == has::get_slab_info_ptr<Reference> &&
           has::delete_slab_info_ptr<Backend> == has::delete_slab_info_ptr<Reference> &&
           has::slab_info_at<Backend> == has::slab_info_at<Reference> &&
           has::secret<Backend> == has::secret<Reference>;
}();

TEST_CASE("a reference has the functions of its backend and no others", "[backend_ref]") {
    STATIC_REQUIRE(same_set<SlabsOnly>);
    STATIC_REQUIRE(same_set<Everything>);
    STATIC_REQUIRE(same_set<SavesWithoutFail>);
    STATIC_REQUIRE(same_set<BackendRef<Everything>>);
    STATIC_REQUIRE(SlabSource<BackendRef<SlabsOnly>>);
    STATIC_REQUIRE_FALSE(backend_has::alloc_slab_info<BackendRef<SlabsOnly>>);
    STATIC_REQUIRE_FALSE(backend_has::slab_info_at<BackendRef<SlabsOnly>>);
    STATIC_REQUIRE_FALSE(backend_has::secret<BackendRef<SlabsOnly>>);
    STATIC_REQUIRE(backend_has::secret<BackendRef<Everything>>);
    STATIC_REQUIRE(SlabInfoMap<BackendRef<Everything>>);
    STATIC_REQUIRE(SlabInfoSource<BackendRef<Everything>>);
    STATIC_REQUIRE(backend_has::slab_info_at<BackendRef<Everything>>);
    STATIC_REQUIRE(backend_has::save_slab_info_ptr<BackendRef<SavesWithoutFail>>);
}

TEST_CASE("a wrong signature stays wrong through a reference", "[backend_ref]") {
    STATIC_REQUIRE(same_set<WrongAnswers>);
    STATIC_REQUIRE(same_set<WrongArguments>);
    STATIC_REQUIRE_FALSE(backend_has::alloc_slab<BackendRef<WrongAnswers>>);
    STATIC_REQUIRE_FALSE(backend_has::free_slab<BackendRef<WrongAnswers>>);
    STATIC_REQUIRE_FALSE(backend_has::slab_info_at<BackendRef<WrongAnswers>>);
    STATIC_REQUIRE_FALSE(backend_has::free_slab_info<BackendRef<WrongArguments>>);
}

TEST_CASE("a reference forwards every argument and every answer", "[backend_ref]") {
    Everything backend;
    SlabInfo slab_info;
    backend.slab_info = &slab_info;
    const BackendRef<Everything> reference = backend;
    REQUIRE(&reference.get() == &backend);

    REQUIRE(reference.alloc_slab(8192, 4096) == backend.slab);
    REQUIRE(backend.calls.size == 8192);
    REQUIRE(backend.calls.alignment == 4096);
    reference.free_slab(backend.slab, 16384, 65536);
    REQUIRE(backend.calls.slab == backend.slab);
    REQUIRE(backend.calls.size == 16384);
    REQUIRE(backend.calls.alignment == 65536);
    REQUIRE(reference.alloc_slab_info() == &slab_info);
    reference.free_slab_info(&slab_info);
    REQUIRE(backend.calls.slab_info == &slab_info);
    REQUIRE(reference.save_slab_info_ptr(4096, &slab_info));
    REQUIRE_FALSE(reference.save_slab_info_ptr(8192, nullptr));
    REQUIRE(backend.calls.page_addr == 8192);
    REQUIRE(reference.get_slab_info_ptr(12288) == &slab_info);
    REQUIRE(backend.calls.page_addr == 12288);
    reference.delete_slab_info_ptr(16384);
    REQUIRE(backend.calls.page_addr == 16384);
    REQUIRE(reference.slab_info_at(20480) == &slab_info);
    REQUIRE(backend.calls.page_addr == 20480);
    REQUIRE(reference.secret() == 0x5ec);
}

TEST_CASE("a reference is one pointer, copied freely, and works at compile time", "[backend_ref]") {
    STATIC_REQUIRE(sizeof(BackendRef<Everything>) == sizeof(void*));
    STATIC_REQUIRE(std::is_trivially_copyable_v<BackendRef<Everything>>);
    STATIC_REQUIRE(std::is_nothrow_convertible_v<Everything&, BackendRef<Everything>>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<Everything&&, BackendRef<Everything>>);
    constexpr std::size_t forwarded = [] {
        SlabsOnly backend;
        static_cast<void>(BackendRef<SlabsOnly>(backend).alloc_slab(4096, 4096));
        return backend.calls.size;
    }();
    STATIC_REQUIRE(forwarded == 4096);
}

}  // namespace
