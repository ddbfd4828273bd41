// bulks.cpp -- how many instructions does a bulk of 64 take, with magazines and without?
//
// An alloc is an alloc_bulk of 64, a free a free_bulk: see probes.hpp. A program of its own, and
// compared with no table: what the C library's memcpy takes depends on the processor.

#include <cstddef>
#include <string>

#include "probes.hpp"

namespace {

using namespace bench;

template <typename A>
class Bulks {
public:
    explicit Bulks(std::size_t) {
        for (Bulk& bulk : bulks_)
            unused_[unused_number_++] = &bulk;
    }
    [[nodiscard]] void* alloc() {
        Bulk* const bulk = unused_[--unused_number_];
        allocator_.alloc_bulk(bulk->objects, bulk_size);
        return bulk;
    }
    void free(void* bulk) {
        unused_[unused_number_++] = static_cast<Bulk*>(bulk);
        allocator_.free_bulk(static_cast<Bulk*>(bulk)->objects, bulk_size);
    }

private:
    static constexpr std::size_t bulk_size = 64;
    struct Bulk {
        void* objects[bulk_size];
    };

    A allocator_{200};
    Bulk bulks_[128];
    Bulk* unused_[128];
    std::size_t unused_number_ = 0;
};

template <Checks checks>
void probe_bulks(const std::string& level) {
    constexpr CacheConfig mask{.object_size_type = slab_allocator::ObjectSizeType::Small,
                               .checks = checks};
    probe<Bulks<CacheSubject<object_size, RegionSlabs, mask>>>(level);
    probe<Bulks<MagazineSubject<checks>>>(level + "-magazines");
}

}  // namespace

int main() {
    probe<Nothing>("nothing");
    probe_bulks<Checks::none>("none");
    probe_bulks<Checks::misuse>("misuse");
}
