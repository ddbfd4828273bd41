// open_memory.cpp -- for programs that look at all of memory and write anywhere: what caches hide
// is not hidden from them. AddressSanitizer asks at its start.

extern "C" const char* __asan_default_options();  // NOLINT: the sanitizer's name

extern "C" const char* __asan_default_options() {  // NOLINT
    return "allow_user_poisoning=0";
}
