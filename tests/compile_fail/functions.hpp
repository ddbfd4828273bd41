#pragma once

// functions.hpp -- the functions of a backend, each of them right, missing or wrong.
//
// A file of cases includes this and takes the functions of its row. A case is compiled with
// -D<FUNCTION>=<mistake>; a function without a case is right.

#include <cstddef>
#include <cstdint>

#include <slab_allocator/core/cache.hpp>

enum Mistake : int { right, missing, wrong_answer, wrong_parameters };

#ifndef ALLOC_SLAB
#define ALLOC_SLAB right
#endif
#ifndef FREE_SLAB
#define FREE_SLAB right
#endif
#ifndef ALLOC_SLAB_INFO
#define ALLOC_SLAB_INFO right
#endif
#ifndef FREE_SLAB_INFO
#define FREE_SLAB_INFO right
#endif
#ifndef SAVE_SLAB_INFO_PTR
#define SAVE_SLAB_INFO_PTR right
#endif
#ifndef GET_SLAB_INFO_PTR
#define GET_SLAB_INFO_PTR right
#endif
#ifndef DELETE_SLAB_INFO_PTR
#define DELETE_SLAB_INFO_PTR right
#endif
#ifndef SLAB_INFO_AT
#define SLAB_INFO_AT right
#endif

using slab_allocator::Cache;
using slab_allocator::CacheConfig;
using slab_allocator::MemoryBackend;
using slab_allocator::ObjectSizeType;
using slab_allocator::SlabInfo;
using slab_allocator::SlabInfoLookup;

template <Mistake>
struct AllocSlab {};
template <>
struct AllocSlab<right> {
    void* alloc_slab(std::size_t slab_size, std::size_t slab_alignment);
};
template <>
struct AllocSlab<wrong_answer> {
    std::uintptr_t alloc_slab(std::size_t slab_size, std::size_t slab_alignment);
};
template <>
struct AllocSlab<wrong_parameters> {
    void* alloc_slab(std::size_t slab_size);
};

template <Mistake>
struct FreeSlab {};
template <>
struct FreeSlab<right> {
    void free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment);
};
template <>
struct FreeSlab<wrong_answer> {
    bool free_slab(void* slab, std::size_t slab_size, std::size_t slab_alignment);
};
template <>
struct FreeSlab<wrong_parameters> {
    void free_slab(void* slab, std::size_t slab_size);
};

template <Mistake>
struct AllocSlabInfo {};
template <>
struct AllocSlabInfo<right> {
    SlabInfo* alloc_slab_info();
};
template <>
struct AllocSlabInfo<wrong_answer> {
    void* alloc_slab_info();
};
template <>
struct AllocSlabInfo<wrong_parameters> {
    SlabInfo* alloc_slab_info(std::size_t size);
};

template <Mistake>
struct FreeSlabInfo {};
template <>
struct FreeSlabInfo<right> {
    void free_slab_info(SlabInfo* slab_info);
};
template <>
struct FreeSlabInfo<wrong_answer> {
    bool free_slab_info(SlabInfo* slab_info);
};
template <>
struct FreeSlabInfo<wrong_parameters> {
    void free_slab_info();
};

template <Mistake>
struct SaveSlabInfoPtr {};
template <>
struct SaveSlabInfoPtr<right> {
    bool save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info);
};
template <>
struct SaveSlabInfoPtr<wrong_answer> {
    SlabInfo* save_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info);
};
template <>
struct SaveSlabInfoPtr<wrong_parameters> {
    bool save_slab_info_ptr(SlabInfo* slab_info);
};

template <Mistake>
struct GetSlabInfoPtr {};
template <>
struct GetSlabInfoPtr<right> {
    SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr);
};
template <>
struct GetSlabInfoPtr<wrong_answer> {
    const SlabInfo* get_slab_info_ptr(std::uintptr_t page_addr);
};
template <>
struct GetSlabInfoPtr<wrong_parameters> {
    SlabInfo* get_slab_info_ptr(void* page);
};

template <Mistake>
struct DeleteSlabInfoPtr {};
template <>
struct DeleteSlabInfoPtr<right> {
    void delete_slab_info_ptr(std::uintptr_t page_addr);
};
template <>
struct DeleteSlabInfoPtr<wrong_answer> {
    SlabInfo* delete_slab_info_ptr(std::uintptr_t page_addr);
};
template <>
struct DeleteSlabInfoPtr<wrong_parameters> {
    void delete_slab_info_ptr(std::uintptr_t page_addr, SlabInfo* slab_info);
};

template <Mistake>
struct SlabInfoAt {};
template <>
struct SlabInfoAt<right> {
    SlabInfo* slab_info_at(std::uintptr_t page_addr);
};
template <>
struct SlabInfoAt<wrong_answer> {
    SlabInfo& slab_info_at(std::uintptr_t page_addr);
};
template <>
struct SlabInfoAt<wrong_parameters> {
    SlabInfo* slab_info_at();
};

struct Object {
    unsigned char bytes[64];
};
