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
#elif defined(CONSTRUCTOR_FUNCTION)
int value = 0;
__attribute__((constructor)) void at_start();
void at_start() { value = 1; }
int main() { return value; }
#elif defined(FLOATING_POINT)
int share(int whole);
int share(int whole) { return static_cast<int>(whole / 2.5); }
int main() { return share(5); }
#elif defined(VECTOR_REGISTER)
int main() {
    asm volatile("movaps %xmm0, %xmm1");
    return 0;
}
#elif defined(MASK_REGISTER)
int main() {
    asm volatile("kmovw %eax, %k1");
    return 0;
}
#elif defined(MMX_STATE)
int main() {
    asm volatile("emms");
    return 0;
}
#elif defined(X87_REGISTER)
int main() {
    asm volatile("fld %st(1)");
    return 0;
}
#elif defined(X87_CONSTANT)
int main() {
    asm volatile("fldz");
    return 0;
}
#elif defined(ADDRESS_OF_32_BITS)
int value = 0;
int main() {
    int* address = nullptr;
    asm volatile("movl $%c1, %k0" : "=r"(address) : "i"(&value));
    return *address;
}
#elif defined(OFFSET_TABLE)
int value = 0;
int main() {
    long number = 1;
    asm volatile("imulq value@GOTPCREL(%%rip), %0" : "+r"(number));
    return static_cast<int>(number) + value;
}
#elif defined(HEADER_OF_C)
#include <cstring>
int main() { return 0; }
#elif defined(HEADER_THAT_NEEDS_C)
#include <thread>
int main() { return 0; }
#else
int main() { return 0; }
#endif
