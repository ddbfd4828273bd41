#pragma once

// slab_allocator.hpp -- everything, for programs. Hosted.

#include <slab_allocator/adaptors/allocator.hpp>
#include <slab_allocator/adaptors/memory_resource.hpp>
#include <slab_allocator/adaptors/out_of_memory.hpp>
#include <slab_allocator/adaptors/pooled_object.hpp>
#include <slab_allocator/adaptors/smart_pointers.hpp>
#include <slab_allocator/backends/aligned_alloc_backend.hpp>
#include <slab_allocator/backends/mmap_backend.hpp>
#include <slab_allocator/backends/process_secret.hpp>
#include <slab_allocator/kernel.hpp>
#include <slab_allocator/magazine/rseq.hpp>
#include <slab_allocator/magazine/rseq_cpus.hpp>
#include <slab_allocator/magazine/thread_cpus.hpp>
