#pragma once

// kernel.hpp -- everything that needs no operating system.

#include <slab_allocator/backends/arena_backend.hpp>
#include <slab_allocator/backends/buddy_backend.hpp>
#include <slab_allocator/backends/buddy_region.hpp>
#include <slab_allocator/backends/composed_backend.hpp>
#include <slab_allocator/backends/slab_info_cache.hpp>
#include <slab_allocator/backends/slab_runs.hpp>
#include <slab_allocator/core/align.hpp>
#include <slab_allocator/core/backend_ref.hpp>
#include <slab_allocator/core/cache.hpp>
#include <slab_allocator/core/cache_statistics.hpp>
#include <slab_allocator/core/config.hpp>
#include <slab_allocator/core/config_check.hpp>
#include <slab_allocator/core/defect.hpp>
#include <slab_allocator/core/free_map.hpp>
#include <slab_allocator/core/guards.hpp>
#include <slab_allocator/core/handle.hpp>
#include <slab_allocator/core/intrusive_list.hpp>
#include <slab_allocator/core/layout.hpp>
#include <slab_allocator/core/memory_backend.hpp>
#include <slab_allocator/core/placement.hpp>
#include <slab_allocator/core/recent_objects.hpp>
#include <slab_allocator/core/slab_info.hpp>
#include <slab_allocator/core/slab_lists.hpp>
#include <slab_allocator/magazine/lock.hpp>
#include <slab_allocator/magazine/locked_backend.hpp>
#include <slab_allocator/magazine/locked_cache.hpp>
#include <slab_allocator/magazine/object_calls.hpp>
#include <slab_allocator/magazine/unlocking_backend.hpp>
#include <slab_allocator/maps/flat_map.hpp>
#include <slab_allocator/maps/hash_map.hpp>
#include <slab_allocator/maps/radix_map.hpp>
#include <slab_allocator/version.hpp>
