# find_package(mmcore CONFIG): the target mmcore::mmcore has the headers and the flags that keep their bits.
#
#   cmake -Dmmcore_DIR=$(python -c "import mmcore; print(mmcore.get_cmake_dir())") ...

get_filename_component(mmcore_INCLUDE_DIR "${CMAKE_CURRENT_LIST_DIR}/../include" ABSOLUTE)
if(NOT EXISTS "${mmcore_INCLUDE_DIR}/mmcore/types.h") # a checkout
  get_filename_component(mmcore_INCLUDE_DIR "${CMAKE_CURRENT_LIST_DIR}/../../../include" ABSOLUTE)
endif()

if(NOT TARGET mmcore::mmcore)
  add_library(mmcore::mmcore INTERFACE IMPORTED)
  set_target_properties(
    mmcore::mmcore
    PROPERTIES
      INTERFACE_INCLUDE_DIRECTORIES "${mmcore_INCLUDE_DIR}"
      INTERFACE_COMPILE_OPTIONS
        "$<$<C_COMPILER_ID:GNU,Clang,AppleClang>:-ffp-contract=off>;$<$<C_COMPILER_ID:MSVC>:/fp:precise>"
  )
  if(UNIX)
    set_target_properties(mmcore::mmcore PROPERTIES INTERFACE_LINK_LIBRARIES m)
  endif()
endif()
