# Builds program.cpp in one way and runs it.
#
#     cmake -D COMPILER=... -D WARNINGS=... -D FLAGS=... -D RUNNER=... -D INCLUDE=... -D WORK=...
#           -P cell.cmake

separate_arguments(FLAGS)
separate_arguments(RUNNER)
file(MAKE_DIRECTORY ${WORK})
execute_process(
    COMMAND ${COMPILER} -std=c++20 ${WARNINGS} ${FLAGS} -I ${INCLUDE}
            ${CMAKE_CURRENT_LIST_DIR}/program.cpp -o ${WORK}/program COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${RUNNER} ${WORK}/program COMMAND_ERROR_IS_FATAL ANY)
