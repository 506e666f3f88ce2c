# `cmake --install`: the library, its headers under <maestro/...>, the maestro command with its manual page, a CMake package, the
# license, and what a node's own package begins with: a systemd unit and configuration files.

include(CMakePackageConfigHelpers)

install(TARGETS maestro EXPORT maestro-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(folder store aggregates runtime)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/${folder}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/maestro"
          FILES_MATCHING PATTERN "*.hpp" PATTERN sqlite EXCLUDE PATTERN postgres EXCLUDE)  # adapters are internal
endforeach()
install(EXPORT maestro-targets NAMESPACE maestro:: DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/maestro")
configure_package_config_file(config/cmake/maestro-config.cmake.in "${PROJECT_BINARY_DIR}/maestro-config.cmake"
                              INSTALL_DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/maestro")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/maestro-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/maestro-config.cmake" "${PROJECT_BINARY_DIR}/maestro-config-version.cmake"
              config/cmake/FindCAF.cmake
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/maestro")
install(FILES config/maestro.1 DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(FILES config/maestro-node.service config/node.conf config/cluster.conf DESTINATION "${CMAKE_INSTALL_DATADIR}/maestro")
