# find_package(mmcore CONFIG): the target mmcore::mmcore has the headers, the flags that keep their bits (no
# contraction) and those that let loops vectorise to the same bits (nobody reads errno or traps): the wheel's.
#
#   cmake -Dmmcore_DIR=$(python -c "import mmcore; print(mmcore.get_cmake_dir())") ...
#
# Call it after project(): the flags are those of the project's compilers.

get_filename_component(mmcore_INCLUDE_DIR "${CMAKE_CURRENT_LIST_DIR}/../include" ABSOLUTE)
if(NOT EXISTS "${mmcore_INCLUDE_DIR}/mmcore/types.h") # a checkout
  get_filename_component(mmcore_INCLUDE_DIR "${CMAKE_CURRENT_LIST_DIR}/../../../include" ABSOLUTE)
endif()

# Of Clang in all its makes; of GCC; and of Intel's, which is Clang that is fast and loose unless told.
set(mmcore_GNU -ffp-contract=off -fno-math-errno -fno-trapping-math)

function(mmcore_flags language result)
  set(id "${CMAKE_${language}_COMPILER_ID}")
  if(id STREQUAL "MSVC")
    set(flags /fp:precise)
  elseif("${CMAKE_${language}_COMPILER_FRONTEND_VARIANT}" STREQUAL "MSVC") # clang-cl; icx as cl
    set(flags /fp:precise)
    foreach(flag IN LISTS mmcore_GNU)
      list(APPEND flags "/clang:${flag}")
    endforeach()
  elseif(id STREQUAL "IntelLLVM")
    set(flags -fp-model=precise ${mmcore_GNU})
  elseif(id MATCHES "GNU|Clang")
    set(flags ${mmcore_GNU})
  elseif(id STREQUAL "Intel")
    set(flags -fp-model=precise -no-fma)
  elseif(id STREQUAL "NVHPC")
    set(flags -Kieee -Mnofma)
  else()
    message(WARNING "mmcore does not know how ${id} is told not to contract a * b + c: give its flags "
                    "yourself, or prices may differ from the wheel's in the last bits")
    set(flags)
  endif()
  set(${result} "$<$<COMPILE_LANGUAGE:${language}>:${flags}>" PARENT_SCOPE)
endfunction()

if(NOT TARGET mmcore::mmcore)
  add_library(mmcore::mmcore INTERFACE IMPORTED)
  set_target_properties(mmcore::mmcore PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${mmcore_INCLUDE_DIR}")
  foreach(mmcore_language C CXX)
    if(CMAKE_${mmcore_language}_COMPILER_ID) # the project has it
      mmcore_flags(${mmcore_language} mmcore_options)
      set_property(TARGET mmcore::mmcore APPEND PROPERTY INTERFACE_COMPILE_OPTIONS "${mmcore_options}")
    endif()
  endforeach()
  if(UNIX)
    set_target_properties(mmcore::mmcore PROPERTIES INTERFACE_LINK_LIBRARIES m)
  endif()
endif()
