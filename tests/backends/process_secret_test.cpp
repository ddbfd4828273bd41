// process_secret_test.cpp -- the promises of process_secret.hpp.

#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/backends/mmap_backend.hpp>
#include <slab_allocator/backends/process_secret.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <support/catch.hpp>

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
