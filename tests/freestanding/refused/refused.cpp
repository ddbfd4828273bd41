// refused.cpp -- what build.cmake must find, one thing for each macro.

#if defined(UNDEFINED_FUNCTION)
int puts(const char* text);
int main() { return puts("nobody prints this"); }
#elif defined(STATIC_CONSTRUCTOR)
int now();
int now() {
    static int calls = 0;
    return ++calls;
}
int at_start = now();
int main() { return at_start; }
#elif defined(STATIC_DESTRUCTOR)
struct Destroyed {
    ~Destroyed() { value = 0; }
    volatile int value = 1;
};
constinit Destroyed destroyed;
int main() { return destroyed.value; }
#elif defined(GUARD)
int now(int start);
int now(int start) {
    static int first = start;
    return first;
}
int main() { return now(1); }
#elif defined(THREAD_LOCAL)
thread_local int value = 1;
int main() { return ++value; }
#elif defined(VECTOR_REGISTER)
int main() {
    asm volatile("movaps %xmm0, %xmm1");
    return 0;
}
#else
int main() { return 0; }
#endif
