# find_package(mmcore CONFIG): the target mmcore::mmcore has the headers, the flags that keep their bits (no
# contraction) and those that let loops vectorise to the same bits (nobody reads errno or traps): the wheel's.
#
#   cmake -Dmmcore_DIR=$(python -c "import mmcore; print(mmcore.get_cmake_dir())") ...

get_filename_component(mmcore_INCLUDE_DIR "${CMAKE_CURRENT_LIST_DIR}/../include" ABSOLUTE)
if(NOT EXISTS "${mmcore_INCLUDE_DIR}/mmcore/types.h") # a checkout
  get_filename_component(mmcore_INCLUDE_DIR "${CMAKE_CURRENT_LIST_DIR}/../../../include" ABSOLUTE)
endif()

if(NOT TARGET mmcore::mmcore)
  set(mmcore_GNU "$<COMPILE_LANG_AND_ID:C,GNU,Clang,AppleClang>,$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>")
  set(mmcore_MSVC "$<COMPILE_LANG_AND_ID:C,MSVC>,$<COMPILE_LANG_AND_ID:CXX,MSVC>")
  add_library(mmcore::mmcore INTERFACE IMPORTED)
  set_target_properties(
    mmcore::mmcore
    PROPERTIES
      INTERFACE_INCLUDE_DIRECTORIES "${mmcore_INCLUDE_DIR}"
      INTERFACE_COMPILE_OPTIONS
        "$<$<OR:${mmcore_GNU}>:-ffp-contract=off;-fno-math-errno;-fno-trapping-math>;$<$<OR:${mmcore_MSVC}>:/fp:precise>"
  )
  if(UNIX)
    set_target_properties(mmcore::mmcore PROPERTIES INTERFACE_LINK_LIBRARIES m)
  endif()
endif()
