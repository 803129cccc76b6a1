# SPDX-License-Identifier: Apache-2.0
# Installs the headers and what lets CMake and pkg-config find them.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/mamba2")
set(pkgconfig_dir "${CMAKE_INSTALL_DATADIR}/pkgconfig")
configure_package_config_file(tools/cmake/mamba2Config.cmake.in mamba2Config.cmake
  INSTALL_DESTINATION "${package_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(mamba2ConfigVersion.cmake COMPATIBILITY SameMinorVersion
  ARCH_INDEPENDENT)
# Relative to where the file lies, so that the installed tree can be moved.
file(RELATIVE_PATH up "/prefix/${pkgconfig_dir}" /prefix)
string(REGEX REPLACE "/$" "" up "${up}")
configure_file(tools/cmake/mamba2.pc.in mamba2.pc @ONLY)

install(DIRECTORY include/mamba2 DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.hpp")
install(TARGETS mamba2 EXPORT mamba2Targets)
install(EXPORT mamba2Targets NAMESPACE mamba2:: DESTINATION "${package_dir}")
install(FILES "${PROJECT_BINARY_DIR}/mamba2Config.cmake"
  "${PROJECT_BINARY_DIR}/mamba2ConfigVersion.cmake" tools/cmake/headers.cmake
  DESTINATION "${package_dir}")
install(FILES "${PROJECT_BINARY_DIR}/mamba2.pc" DESTINATION "${pkgconfig_dir}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
