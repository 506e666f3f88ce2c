# Installs the build tree `build` into a scratch prefix, then configures, builds and runs a copy of the project `source`
# against it, and its test. Each step has to succeed; nothing in the installed package may point back into the build or
# source tree.

function(step)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "exit status ${status}: ${command}")
  endif()
endfunction()

file(REMOVE_RECURSE "${scratch}")
file(COPY "${source}/" DESTINATION "${scratch}/source")
step("${CMAKE_COMMAND}" --install "${build}" --prefix "${scratch}/prefix" --config "${config}")

cmake_path(GET source PARENT_PATH tests)
cmake_path(GET tests PARENT_PATH tests)
cmake_path(GET tests PARENT_PATH tree)
file(GLOB_RECURSE package_files "${scratch}/prefix/*/cmake/maestro/*")
foreach(file IN LISTS package_files)
  file(READ "${file}" content)
  string(FIND "${content}" "${tree}" position)
  if(NOT position EQUAL -1)
    message(FATAL_ERROR "${file} names ${tree}")
  endif()
endforeach()

set(flags "")
if(sanitize)
  set(flags "-fsanitize=${sanitize} -fno-sanitize-recover=all")
endif()
step("${CMAKE_COMMAND}" -S "${scratch}/source" -B "${scratch}/build" -G "${generator}"
     "-DCMAKE_PREFIX_PATH=${scratch}/prefix" "-DCMAKE_BUILD_TYPE=${config}" "-DCMAKE_CXX_COMPILER=${compiler}"
     "-DCMAKE_CXX_COMPILER_LAUNCHER=${launcher}" "-DCMAKE_CXX_FLAGS=${flags}")
step("${CMAKE_COMMAND}" --build "${scratch}/build" --config "${config}")
step("${scratch}/build/consumer")
if(EXISTS "${scratch}/build/consumer_test")
  step("${scratch}/build/consumer_test")
endif()
