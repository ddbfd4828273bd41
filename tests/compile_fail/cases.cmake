# cases.cmake -- reads the cases that stand in the comments of a source file:
#
#     // CASE SLAB_SIZE=8192, OBJECT_SIZE=9000|9001
#     //      "what the first error must say" "and this"
#
# A case is the macros it is compiled with, or STANDARD=c++17; a|b stands for one case each. What is
# quoted is not a regular expression: it must stand in the first error, or in the notes that belong
# to it.

# Sets `cases` to the list of cases of `source`.
function(read_cases source cases)
    set(found)
    file(STRINGS ${source} lines REGEX "^// CASE ")
    foreach(line IN LISTS lines)
        if(NOT line MATCHES "^// CASE (.*[=, ])?([^=, ]*\\|.*)$")
            string(REGEX REPLACE "^// CASE " "" macros "${line}")
            list(APPEND found "${macros}")
            continue()
        endif()
        set(before "${CMAKE_MATCH_1}")
        string(REPLACE "|" ";" choices "${CMAKE_MATCH_2}")
        foreach(choice IN LISTS choices)
            list(APPEND found "${before}${choice}")
        endforeach()
    endforeach()
    set(${cases} "${found}" PARENT_SCOPE)
endfunction()

# Sets `reasons` to the list of what the first error of `case` must say.
function(read_reasons source case reasons)
    file(READ ${source} text)
    string(REGEX MATCHALL "// CASE [^\n]*\n(//  +\"[^\n]*\n)+" blocks "${text}")
    foreach(block IN LISTS blocks)
        string(REGEX MATCH "^// CASE ([^\n]*)\n" heading "${block}")
        set(macros "${CMAKE_MATCH_1}")
        set(choices "${macros}")
        if(macros MATCHES "^(.*[=, ])?([^=, ]*\\|.*)$")
            set(before "${CMAKE_MATCH_1}")
            string(REPLACE "|" ";${before}" choices "${macros}")
        endif()
        if(case IN_LIST choices)
            string(REGEX MATCHALL "\"[^\"\n]*\"" quoted "${block}")
            list(TRANSFORM quoted REPLACE "^\"(.*)\"$" "\\1")
            set(${reasons} "${quoted}" PARENT_SCOPE)
            return()
        endif()
    endforeach()
    set(${reasons} "" PARENT_SCOPE)
endfunction()

# Compiles `source` with the macros of `case` (none: the control). Sets `status` to the compiler's
# exit status, and `first_error` to its first error with the notes around it.
function(compile_case compiler source case status first_error)
    set(macros)
    set(standard c++20)
    if(case MATCHES "^STANDARD=(.*)$")
        set(standard ${CMAKE_MATCH_1})
    elseif(NOT case STREQUAL "")
        string(REPLACE ", " ";" macros "${case}")
        list(TRANSFORM macros PREPEND "-D")
    endif()
    # The reasons must be in the compiler's words, not in lines of source that it quotes.
    set(no_quotations -fno-diagnostics-show-caret)
    if(compiler MATCHES "clang")
        set(no_quotations -fno-caret-diagnostics)
    endif()
    execute_process(
        COMMAND ${compiler} -std=${standard} -Wall -Wextra ${no_quotations} -I${INCLUDE} ${macros}
                -fsyntax-only ${source}
        RESULT_VARIABLE result
        OUTPUT_QUIET
        ERROR_VARIABLE output)
    # Up to the second error, without splitting the text into a list: it may contain anything.
    set(kept "${output}")
    string(FIND "${output}" " error: " first)
    if(NOT first EQUAL -1)
        math(EXPR behind "${first} + 8")
        string(SUBSTRING "${output}" ${behind} -1 rest)
        string(FIND "${rest}" " error: " second)
        if(NOT second EQUAL -1)
            math(EXPR length "${behind} + ${second}")
            string(SUBSTRING "${output}" 0 ${length} kept)
        endif()
    endif()
    set(${status} "${result}" PARENT_SCOPE)
    set(${first_error} "${kept}" PARENT_SCOPE)
endfunction()
