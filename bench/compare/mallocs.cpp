// mallocs.cpp -- is the library there, and can it live beside the others?

#include "mallocs.hpp"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include <dlfcn.h>
#include <unistd.h>

namespace bench {

void make_room_for_tls(char** arguments) {
    constexpr const char* name = "GLIBC_TUNABLES";
    if (std::getenv(name) != nullptr) return;
    ::setenv(name, "glibc.rtld.optional_static_tls=65536", 0);
    ::execv("/proc/self/exe", arguments);
}

MallocFunctions load(const char* library, const char* alloc, const char* free) {
    static std::map<std::string, void*> handles;  // so that a missing one is missed once
    const auto known = handles.find(library);
    void* handle = nullptr;
    if (known != handles.end()) {
        handle = known->second;
    } else {
        handle = ::dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
        if (handle == nullptr) std::fprintf(stderr, "left out: %s\n", ::dlerror());
        handles[library] = handle;
    }
    if (handle == nullptr) return {};
    MallocFunctions functions;
    functions.alloc = reinterpret_cast<void* (*)(std::size_t)>(::dlsym(handle, alloc));
    functions.free = reinterpret_cast<void (*)(void*)>(::dlsym(handle, free));
    return functions;
}

}  // namespace bench
