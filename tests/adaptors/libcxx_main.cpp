// libcxx_main.cpp -- main() of the tests, where Catch2's own is of another standard library.

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_session.hpp>
int main(int arguments_number, char* arguments[]) {
    return Catch::Session().run(arguments_number, arguments);
}
#else
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
