#pragma once

// probes.hpp -- how many instructions does a call take? What is counted, and how.
//
// A program of probes runs under callgrind, and asks it to write down the count of each by name;
// count.py reads those. Every probe runs twice, with 8 and with 16 calls, so that what lies around
// them cancels out; `nothing` is what the loop itself takes.

#include <cstddef>
#include <string>

#include <valgrind/callgrind.h>

#include <slab_allocator/magazine/magazine_cache.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>

#include "../compare/caches.hpp"
#include "../compare/rows.hpp"

namespace bench {

namespace {  // a program each: as if it stood there

using slab_allocator::CacheConfig;
using slab_allocator::Checks;

constexpr std::size_t object_size = 64;
constexpr std::size_t few = 8;
constexpr std::size_t many = 16;

template <typename T>
void keep(T& value) {
    asm volatile("" : "+r"(value) : : "memory");
}

/// The loop around the calls, and no calls.
struct Nothing {
    explicit Nothing(std::size_t) {}
    [[nodiscard]] void* alloc() { return this; }
    void free(void*) {}
};

template <typename A>
class Probes {
public:
    explicit Probes(const char* name) : name_(name) {
        asm volatile("" : : "r"(&allocator_) : "memory");
        for (void*& object : others_)
            object = get(allocator_);
        allocs(allocator_, objects_, many);  // warm-up: that many are cached now
        frees(allocator_, objects_, many);
    }
    Probes(const Probes&) = delete;
    Probes& operator=(const Probes&) = delete;
    ~Probes() {
        for (void* const object : others_)
            allocator_.free(object);
    }

    void run() {
        for (const std::size_t calls : {few, many}) {
            count("pair", calls, [&] { pairs(allocator_, calls); });
            count("alloc", calls, [&] { allocs(allocator_, objects_, calls); });
            count("free", calls, [&] { frees(allocator_, objects_, calls); });
        }
    }

private:
    template <typename F>
    void count(const char* what, std::size_t calls, F&& f) {
        const std::string title = std::string{name_} + " " + what + " " + std::to_string(calls);
        CALLGRIND_ZERO_STATS;
        f();
        CALLGRIND_DUMP_STATS_AT(title.c_str());
    }

    [[gnu::always_inline]] static void* get(A& allocator) {
        void* object = allocator.alloc();
        keep(object);
        return object;
    }
    [[gnu::noinline]] static void pairs(A& allocator, std::size_t number) {
        for (std::size_t i = 0; i < number; ++i)
            allocator.free(get(allocator));
    }
    [[gnu::noinline]] static void allocs(A& allocator, void** objects, std::size_t number) {
        for (std::size_t i = 0; i < number; ++i)
            objects[i] = get(allocator);
    }
    [[gnu::noinline]] static void frees(A& allocator, void** objects, std::size_t number) {
        for (std::size_t i = 0; i < number; ++i) {
            void* object = objects[i];
            keep(object);
            allocator.free(object);
        }
    }

    const char* name_;
    A allocator_{200};
    void* others_[100];
    void* objects_[many];
};

template <typename A>
void probe(const std::string& name) {
    Region::instance().reset();
    Probes<A>{name.c_str()}.run();
}

struct NoLock {
    void lock() noexcept {}
    void unlock() noexcept {}
};

/// While a magazine serves: the slot of a thread. (One of a CPU is not: there are no restartable
/// sequences under callgrind.)
template <Checks checks>
class MagazineSubject {
public:
    explicit MagazineSubject(std::size_t) {}
    [[nodiscard]] void* alloc() { return cache_.alloc(); }
    void free(void* object) { cache_.free(static_cast<Object<object_size>*>(object)); }

    void alloc_bulk(void** objects, std::size_t number) {
        static_cast<void>(cache_.alloc_bulk({typed(objects), number}));
    }
    void free_bulk(void** objects, std::size_t number) {
        cache_.free_bulk({typed(objects), number});
    }

private:
    [[nodiscard]] static Object<object_size>** typed(void** objects) {
        return reinterpret_cast<Object<object_size>**>(objects);
    }

    slab_allocator::MagazineCache<Object<object_size>, RegionSlabs, slab_allocator::ThreadCpus<>,
                                  NoLock, CacheConfig{.checks = checks}>
        cache_;
};

}  // namespace

}  // namespace bench
