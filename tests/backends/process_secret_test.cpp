// process_secret_test.cpp -- the promises of process_secret.hpp.

#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/backends/mmap_backend.hpp>
#include <slab_allocator/backends/process_secret.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <support/catch.hpp>
#include <support/child.hpp>

using namespace slab_allocator;

TEST_CASE("the secret of a process stays, and another one would be another", "[process_secret]") {
    REQUIRE(process_secret() == process_secret());
    REQUIRE(detail::ask_for_secret() != process_secret());
    REQUIRE(detail::ask_for_secret() != detail::ask_for_secret());
}

TEST_CASE("hosted backends have the secret of the process", "[process_secret]") {
    STATIC_REQUIRE(backend_has::secret<AlignedAllocBackend>);
    STATIC_REQUIRE(backend_has::secret<MmapBackend>);
    STATIC_REQUIRE(backend_has::secret<BackendRef<MmapBackend>>);
    REQUIRE(AlignedAllocBackend::secret() == process_secret());
    REQUIRE(MmapBackend::secret() == process_secret());
}

#ifdef SYS_getrandom
TEST_CASE("where the system refuses random numbers, the secret is still one of this process",
          "[process_secret]") {
    REQUIRE(support::in_child([] {
        const std::uint64_t before = detail::ask_for_secret();
        constexpr std::uint32_t no_flags = 0;
        if (!support::refuse_system_call(SYS_getrandom, 2, no_flags, ENOSYS)) return false;
        const std::uint64_t secret = detail::ask_for_secret();
        return secret != 0 && secret != before;
    }));
}
#endif
