# The version of the headers that are here.

set(_mmcore_types "${CMAKE_CURRENT_LIST_DIR}/../include/mmcore/types.h")
if(NOT EXISTS "${_mmcore_types}") # a checkout
  set(_mmcore_types "${CMAKE_CURRENT_LIST_DIR}/../../../include/mmcore/types.h")
endif()
file(STRINGS "${_mmcore_types}" _mmcore_line REGEX "#define MMCORE_VERSION ")
string(REGEX REPLACE ".*\"([0-9.]+)\".*" "\\1" PACKAGE_VERSION "${_mmcore_line}")

set(PACKAGE_VERSION_COMPATIBLE TRUE)
if(PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
elseif(PACKAGE_FIND_VERSION_RANGE) # a...b, a...<b
  if(PACKAGE_VERSION VERSION_GREATER PACKAGE_FIND_VERSION_MAX
     OR (PACKAGE_FIND_VERSION_RANGE_MAX STREQUAL "EXCLUDE"
         AND PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION_MAX))
    set(PACKAGE_VERSION_COMPATIBLE FALSE)
  endif()
elseif(PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION)
  set(PACKAGE_VERSION_EXACT TRUE)
endif()
