// slab_allocator.cppm -- the library as a C++20 module, for clang 19: import slab_allocator;
//
//      target_link_libraries(program PRIVATE slab_allocator::slab_allocator)
//      target_sources(program PRIVATE FILE_SET CXX_MODULES             from CMake 3.28 on
//                                     BASE_DIRS <slab_allocator>/modules
//                                     FILES <slab_allocator>/modules/slab_allocator.cppm)
//
// Without CMake, from the folder of the library:
//
//      clang++-19 -std=c++20 -Iinclude --precompile modules/slab_allocator.cppm
//                 -o slab_allocator.pcm
//      clang++-19 -std=c++20 -fmodule-file=slab_allocator=slab_allocator.pcm program.cpp
//                 slab_allocator.pcm -o program
//
// What a program names is exported; what the library is made of inside is not. Macros stay behind:
// the version is in slab_allocator/version.hpp.

module;

#include <slab_allocator/slab_allocator.hpp>

export module slab_allocator;

export namespace slab_allocator {

// The cache, what one chooses of it, and what it says.
using slab_allocator::Cache;
using slab_allocator::CacheConfig;
using slab_allocator::CacheStatistics;
using slab_allocator::Checks;
using slab_allocator::make_unique;
using slab_allocator::ObjectSizeType;
using slab_allocator::SlabInfoLookup;

// What is wrong, and who is told.
using slab_allocator::Defect;
using slab_allocator::DefectHandler;
using slab_allocator::DefectReport;
using slab_allocator::explanation_of;
using slab_allocator::name_of;
using slab_allocator::print_and_trap;
using slab_allocator::print_defect;
using slab_allocator::set_defect_handler;

// What a backend is.
using slab_allocator::bears_threads;
using slab_allocator::MemoryBackend;
using slab_allocator::SlabInfo;
using slab_allocator::SlabInfoMap;
using slab_allocator::SlabInfoSource;
using slab_allocator::SlabSource;

// Whole backends, and parts of them.
using slab_allocator::AlignedAllocBackend;
using slab_allocator::AlignedAllocPages;
using slab_allocator::arena_alignment;
using slab_allocator::ArenaBackend;
using slab_allocator::ArenaBackendOver;
using slab_allocator::BackendRef;
using slab_allocator::BuddyBackend;
using slab_allocator::BuddyRegion;
using slab_allocator::ComposedBackend;
using slab_allocator::FirstFitPages;
using slab_allocator::FlatMap;
using slab_allocator::FlatMapOf;
using slab_allocator::HashMap;
using slab_allocator::MmapBackend;
using slab_allocator::MmapOptions;
using slab_allocator::MmapPages;
using slab_allocator::PageFrame;
using slab_allocator::RadixMap;
using slab_allocator::SlabInfoCache;
using slab_allocator::SlabRuns;

// Memory of any size.
using slab_allocator::Heap;
using slab_allocator::HeapConfig;
using slab_allocator::HeapStatistics;
using slab_allocator::LockedHeap;
using slab_allocator::MagazineHeap;

// Standard containers, operator new and smart pointers on top of them.
using slab_allocator::Allocator;
using slab_allocator::config_of_pools;
using slab_allocator::Deleter;
using slab_allocator::make_shared_in;
using slab_allocator::make_unique_in;
using slab_allocator::MemoryResource;
using slab_allocator::OneThread;
using slab_allocator::PerCpu;
using slab_allocator::Pool;
using slab_allocator::PooledObject;
using slab_allocator::PoolRef;
using slab_allocator::StaticPool;
using slab_allocator::UnderLock;
using slab_allocator::UniqueIn;

// Caches for several threads or CPUs.
using slab_allocator::BasicLockable;
using slab_allocator::CpuMachine;
using slab_allocator::CpuPolicy;
using slab_allocator::DepotStatistics;
using slab_allocator::KernelCpus;
using slab_allocator::LockedBackend;
using slab_allocator::LockedCache;
using slab_allocator::MagazineCache;
using slab_allocator::PinnedCpus;
using slab_allocator::Reach;
using slab_allocator::RseqCpus;
using slab_allocator::ThreadCpus;

// What caches hold, as text.
using slab_allocator::ArraySink;
using slab_allocator::CacheSummary;
using slab_allocator::report;
using slab_allocator::report_json;
using slab_allocator::report_slabs;
using slab_allocator::report_slots;
using slab_allocator::Sink;
using slab_allocator::SlabView;
using slab_allocator::SlotState;
using slab_allocator::summary_of;

}  // namespace slab_allocator
