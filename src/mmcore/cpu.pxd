"""The instruction set in use, for other compiled modules: see mmcore/cpu.h."""


cdef extern from "mmcore/cpu.h" nogil:
    ctypedef enum mm_cpu:
        MM_CPU_BASELINE
        MM_CPU_AVX2
        MM_CPU_AVX512
        MM_CPU_LEVELS

    int mm_cpu_runs(mm_cpu level) noexcept
    mm_cpu mm_cpu_best() noexcept


cdef mm_cpu c_cpu() noexcept nogil
