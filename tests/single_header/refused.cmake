# cmake -D COMPILER=... -D STANDARD=... -D INCLUDE=... -D SOURCE=... -D SENTENCE=...
#       -P refused.cmake
#
# Fails unless SOURCE does not compile, for one error, which says SENTENCE.

cmake_minimum_required(VERSION 3.25)

execute_process(COMMAND ${COMPILER} -std=c++${STANDARD} -I${INCLUDE} -fsyntax-only ${SOURCE}
                RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
string(REGEX MATCHALL "error: [^\n]*" errors "${output}")
list(LENGTH errors errors_number)
if(status EQUAL 0 OR NOT errors_number EQUAL 1 OR NOT errors MATCHES "${SENTENCE}")
    message(FATAL_ERROR "must be refused with: ${SENTENCE}\n${output}")
endif()
