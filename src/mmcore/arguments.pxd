"""Reading Python's integers: the compiled modules' hot arguments."""

from libc.stdint cimport int64_t


cdef extern from *:
    """
    /* The value of an exact int, read in place where it has one digit; 0 where no int64 holds it. */
    static CYTHON_INLINE int mm_read_int(PyObject *number, int64_t *value) {
      int overflow;
    #if !CYTHON_COMPILING_IN_CPYTHON
    #elif PY_VERSION_HEX >= 0x030c0000
      if (PyUnstable_Long_IsCompact((PyLongObject *)number)) {
        *value = (int64_t)PyUnstable_Long_CompactValue((PyLongObject *)number);
        return 1;
      }
    #else
      const Py_ssize_t size = Py_SIZE(number); /* digits, with the sign */
      if (-1 <= size && size <= 1) {
        *value = (int64_t)size * (int64_t)((PyLongObject *)number)->ob_digit[0];
        return 1;
      }
    #endif
      *value = PyLong_AsLongLongAndOverflow(number, &overflow);
      return !overflow;
    }
    """
    bint read_int "mm_read_int"(object number, int64_t *value) noexcept
