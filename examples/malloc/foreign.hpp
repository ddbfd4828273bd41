#pragma once

// foreign.hpp -- what the library of foreign.cpp does beside its handlers.

#include <cstddef>

/// With which functions it allocates; at first malloc and free.
void foreign_use(void* (*malloc_function)(std::size_t), void (*free_function)(void*));
/// Starts the thread that its handlers wait for, and ends it.
void foreign_begin();
void foreign_end();
/// Allocates while it holds the mutex that its handlers take.
void foreign_work();
/// How many forks its handlers have seen begin.
unsigned foreign_forks();
