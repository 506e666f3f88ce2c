# Configures `source` as a packager, a user and our own preset would, and looks at how a source file would be compiled: assertions are
# on, flags that were given are kept, and warnings are errors for nobody but us.

# flags_of(RESULT ARGUMENT...): how runtime/node.cpp is compiled when the tree is configured with these.
function(flags_of result)
  file(REMOVE_RECURSE "${scratch}")
  execute_process(COMMAND "${CMAKE_COMMAND}" -S "${source}" -B "${scratch}" -G "${generator}" "-DCMAKE_CXX_COMPILER=${compiler}"
                          -DMAESTRO_TESTS=OFF -DMAESTRO_EXAMPLES=OFF ${ARGN}
                  WORKING_DIRECTORY "${source}" OUTPUT_QUIET ERROR_VARIABLE errors RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "cmake ${ARGN}: exit status ${status}\n${errors}")
  endif()
  file(STRINGS "${scratch}/compile_commands.json" commands REGEX "\"command\".*/runtime/node\\.cpp")
  if(commands STREQUAL "")
    message(FATAL_ERROR "nothing is said of runtime/node.cpp")
  endif()
  set(${result} "${commands}" PARENT_SCOPE)
endfunction()

function(expect flags kind word)
  string(FIND "${flags}" " ${word} " position)
  if((kind STREQUAL "with" AND position EQUAL -1) OR (kind STREQUAL "without" AND NOT position EQUAL -1))
    message(FATAL_ERROR "expected ${kind} ${word}: ${flags}")
  endif()
endfunction()

foreach(type Release RelWithDebInfo MinSizeRel Debug None)
  flags_of(flags -DCMAKE_BUILD_TYPE=${type})
  expect("${flags}" without -DNDEBUG)
  expect("${flags}" without -Werror)
endforeach()
flags_of(flags -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -fstack-protector-strong" "-DCMAKE_CXX_FLAGS=-fno-plt")
expect("${flags}" with -O1)
expect("${flags}" with -fstack-protector-strong)
expect("${flags}" with -fno-plt)
expect("${flags}" without -O2)
flags_of(flags --preset release)
expect("${flags}" with -O2)
expect("${flags}" with -g1)
expect("${flags}" with -Werror)
expect("${flags}" without -DNDEBUG)
