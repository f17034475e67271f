# find_package(mmcore CONFIG): the target mmcore::mmcore has the headers, the flags that keep their bits (no
# contraction) and those that let loops vectorise to the same bits (nobody reads errno or traps): the wheel's.
#
#   cmake -Dmmcore_DIR=$(python -c "import mmcore; print(mmcore.get_cmake_dir())") ...
#
# Call it after project(): the compilers decide how flags are written. The target has those of C and of C++
# whichever is enabled, by the compiler that a file meets: a language may come later, and a directory further
# down may have one that this one has not.

get_filename_component(mmcore_INCLUDE_DIR "${CMAKE_CURRENT_LIST_DIR}/../include" ABSOLUTE)
if(NOT EXISTS "${mmcore_INCLUDE_DIR}/mmcore/types.h") # a checkout
  get_filename_component(mmcore_INCLUDE_DIR "${CMAKE_CURRENT_LIST_DIR}/../../../include" ABSOLUTE)
endif()

# The compilers, as <names>:<flags>. Clang in all its makes and GCC; Intel's, which is Clang that is fast and
# loose unless told; and those of them that are called as Visual C is (clang-cl; icx as cl).
set(mmcore_GNU -ffp-contract=off -fno-math-errno -fno-trapping-math)
set(mmcore_GNU_NAMES GNU Clang AppleClang ARMClang XLClang IBMClang FujitsuClang TIClang CrayClang)
set(mmcore_NAMES ${mmcore_GNU_NAMES} IntelLLVM Intel NVHPC MSVC)

set(mmcore_LANGUAGES)
set(mmcore_AS_CL FALSE)
foreach(mmcore_language C CXX)
  set(mmcore_id "${CMAKE_${mmcore_language}_COMPILER_ID}")
  if(mmcore_id)
    list(APPEND mmcore_LANGUAGES ${mmcore_language})
    if("${CMAKE_${mmcore_language}_COMPILER_FRONTEND_VARIANT}" STREQUAL "MSVC")
      set(mmcore_AS_CL TRUE) # of both languages: CMake mixes the two kinds no more than linkers do
    endif()
    if(NOT mmcore_id IN_LIST mmcore_NAMES)
      message(WARNING "mmcore does not know how ${mmcore_id} is told not to contract a * b + c: give its flags "
                      "yourself, or prices may differ from the wheel's in the last bits")
    endif()
  endif()
endforeach()
if(NOT mmcore_LANGUAGES)
  set(mmcore_FOUND FALSE)
  set(mmcore_NOT_FOUND_MESSAGE "mmcore is for C and C++: call find_package(mmcore) after project() with one of them")
  return()
endif()

function(mmcore_options names) # flags
  string(REPLACE ";" "," names "${names}")
  foreach(language C CXX)
    set_property(TARGET mmcore::mmcore APPEND PROPERTY INTERFACE_COMPILE_OPTIONS
                 "$<$<COMPILE_LANG_AND_ID:${language},${names}>:${ARGN}>")
  endforeach()
endfunction()

if(NOT TARGET mmcore::mmcore)
  add_library(mmcore::mmcore INTERFACE IMPORTED)
  set_target_properties(mmcore::mmcore PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${mmcore_INCLUDE_DIR}")
  if(mmcore_AS_CL)
    string(REGEX REPLACE "(^|;)-" "\\1/clang:-" mmcore_CLANG "${mmcore_GNU}")
    mmcore_options("MSVC" /fp:precise)
    mmcore_options("Clang;IntelLLVM" /fp:precise ${mmcore_CLANG})
  else()
    mmcore_options("${mmcore_GNU_NAMES}" ${mmcore_GNU})
    mmcore_options("IntelLLVM" -fp-model=precise ${mmcore_GNU})
    mmcore_options("Intel" -fp-model=precise -no-fma)
    mmcore_options("NVHPC" -Kieee -Mnofma)
  endif()
  if(UNIX)
    set_target_properties(mmcore::mmcore PROPERTIES INTERFACE_LINK_LIBRARIES m)
  endif()
endif()
