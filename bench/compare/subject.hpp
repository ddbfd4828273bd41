#pragma once

// subject.hpp -- what can be measured: the allocators, the workloads, and one run of one on the
// other.
//
// A subject is a class
//
//      explicit A(std::size_t capacity)   as many objects as will live at once, for pools that ask
//      void* alloc()   void free(void*)
//      static constexpr std::size_t object_size
//
// and may have  alloc_bulk(void**, n)  free_bulk(void**, n);  objects_per_slab, where it pairs
// objects at the edge of a slab;  available(), where a library may be missing.

#include <cstddef>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// What one run found: nanoseconds per operation, by metric.
class Recorder {
public:
    struct Entry {
        std::string_view metric;
        double nanoseconds;
    };

    /// An alloc or a free is one operation. Returns: the nanoseconds of all of them.
    template <typename F>
    double time(std::string_view metric, std::size_t operations, F&& f) {
        const double start = now();
        f();
        const double all = now() - start;
        add(metric, operations, all);
        return all;
    }
    void add(std::string_view metric, std::size_t operations, double nanoseconds) {
        entries_.push_back({metric, nanoseconds / static_cast<double>(operations)});
    }

    [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

private:
    /// This thread's time: what others do on the machine while it waits does not count.
    [[nodiscard]] static double now() {
        std::timespec time{};
        ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return 1e9 * static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec);
    }

    std::vector<Entry> entries_;
};

/// Sets up, warms up, times, gives everything back.
using Run = void (*)(Recorder&);

struct Subject {
    std::string name;
    std::size_t object_size;
    const Run* runs;  // one a workload, in the order of `workloads`
    bool (*available)();
};

/// All subjects, in the order of tables; each source file adds its own before main().
[[nodiscard]] inline std::vector<Subject>& subjects() {
    static std::vector<Subject> all;
    return all;
}

}  // namespace bench
