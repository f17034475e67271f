"""Doors for other hosts: the kernels as one table of C functions, and as addresses.

``mmcore._C_API`` is a capsule with the table of ``mmcore/api.h``, for C and C++ without our headers' code,
and for other languages. :func:`address` is for ctypes and for compilers that call by address;
:func:`depth_function` is for SciPy. Signatures are those of the headers.
"""
from mmcore.errors import InvalidArgument

from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uintptr_t
from mmcore.quoting cimport Policy, Quoter, mm_rules

__all__ = ["KERNELS", "STRUCTS", "address", "depth_function", "rules"]


cdef extern from *:
    """
    #include "mmcore/api.h"
    static const mm_api mm_table = MM_API_TABLE;
    static const char *const mm_names[] = {MM_API_KERNELS(MM_API_NAME)};
    static const char *const mm_signatures[] = {MM_API_KERNELS(MM_API_SIGNATURE)};
    static const char *const mm_struct_names[] = {MM_API_STRUCTS(MM_API_STRUCT_NAME)};
    static const size_t mm_struct_sizes[] = {MM_API_STRUCTS(MM_API_STRUCT_SIZE)};
    #define MM_KERNEL_COUNT ((int)(sizeof mm_names / sizeof *mm_names))
    #define MM_STRUCT_COUNT ((int)(sizeof mm_struct_sizes / sizeof *mm_struct_sizes))
    static uintptr_t mm_kernel(int i) {
      uintptr_t at;
      const char *first = (const char *)&mm_table + offsetof(mm_api, policy_check);
      memcpy(&at, first + (size_t)i * sizeof at, sizeof at);
      return at;
    }
    """
    ctypedef struct mm_api:
        pass
    const mm_api mm_table
    const char *const *mm_names
    const char *const *mm_signatures
    const char *const *mm_struct_names
    const size_t *mm_struct_sizes
    int MM_KERNEL_COUNT, MM_STRUCT_COUNT
    uintptr_t mm_kernel(int i)


_C_API = PyCapsule_New(<void *>&mm_table, "mmcore._C_API", NULL)

KERNELS = {mm_names[i].decode(): mm_signatures[i].decode() for i in range(MM_KERNEL_COUNT)}
"""Name of each kernel: its result and parameters in C."""

STRUCTS = {mm_struct_names[i].decode(): mm_struct_sizes[i] for i in range(MM_STRUCT_COUNT)}
"""Name of each struct that they take: its bytes."""

cdef dict _addresses = {mm_names[i].decode(): mm_kernel(i) for i in range(MM_KERNEL_COUNT)}


def address(str name):
    """Address of a kernel, for ctypes and others that call C by address.

    Parameters
    ----------
    name : str
        As in the headers; one of :data:`KERNELS`.

    Raises
    ------
    InvalidArgument
        Where there is no such kernel in the table.

    Examples
    --------
    >>> import ctypes, mmcore as mm
    >>> from mmcore.api import address
    >>> form = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_void_p)
    >>> bid_depth = form(address("mm_bid_depth"))
    >>> policy = mm.Affine(base=(1.5, 2.0), slope=0.25)
    >>> bid_depth(2.0, policy.address)
    2.0
    """
    if name not in _addresses:
        raise InvalidArgument(argument="name", value=name, allowed=f"one of {', '.join(_addresses)}")
    return _addresses[name]


cdef void _release(object block) noexcept:
    """Let go of the policy whose memory a capsule points to."""
    Py_DECREF(<object>PyCapsule_GetContext(block))


def depth_function(Policy policy not None, str side not None):
    """Depth of one side of a stationary policy as a compiled function of inventory, for SciPy.

    Parameters
    ----------
    policy : Policy
        A stationary one, since the function has no time left to read another at; of several states, the first
        is read. It is kept alive by what is returned.
    side : str
        ``"bid"`` or ``"ask"``.

    Returns
    -------
    scipy.LowLevelCallable
        ``double (double inventory, void *)``: ticks; NaN where the side is absent.

    Raises
    ------
    InvalidArgument
        Where the policy is not stationary, or there is no such side.

    Examples
    --------
    >>> import mmcore as mm
    >>> from scipy.integrate import quad
    >>> from mmcore.api import depth_function
    >>> quad(depth_function(mm.Affine(base=(1.5, 2.0), slope=0.25), "bid"), -2.0, 2.0)[0]
    6.0
    """
    from scipy import LowLevelCallable

    if side not in ("bid", "ask"):
        raise InvalidArgument(argument="side", value=side, allowed='"bid" or "ask"')
    if not policy.stationary:
        raise InvalidArgument(
            argument="policy", value=policy,
            allowed="stationary: a function of the inventory alone has no time left to read this one at"
        )
    kernel = PyCapsule_New(<void *><uintptr_t>_addresses[f"mm_{side}_depth"], "double (double, void *)", NULL)
    block = PyCapsule_New(<void *>policy.c_policy, NULL, _release)
    PyCapsule_SetContext(block, <void *>policy)
    Py_INCREF(policy)
    return LowLevelCallable(kernel, block)


def rules(Quoter quoter not None):
    """A copy of a quoter's rules as they are now: the bytes of an ``mm_rules``.

    Examples
    --------
    >>> import mmcore as mm
    >>> quoter = mm.Quoter(mm.Affine(base=1.5), limits=mm.Limits(max_position=7))
    >>> import struct
    >>> struct.unpack_from("d", mm.api.rules(quoter))
    (7.0,)
    """
    return (<const char *>&quoter.c_rules)[:sizeof(mm_rules)]
