// catch.cpp -- the source that support/catch.hpp is precompiled for.

#include <support/catch.hpp>
