"""The instruction set that wide loops use: the best that this machine runs, unless told otherwise.

Loops over many numbers (batches of prices, dynamic programs) are compiled once for the baseline of the build
(SSE2 on x86-64, NEON on aarch64) and again for ``avx2`` and ``avx512`` where the architecture has them. One
is chosen when mmcore is first imported; all give the same bits. The environment variable ``MMCORE_CPU`` names
another: ``MMCORE_CPU=baseline``. ``mmcore doctor`` shows what runs here.
"""
import os

from mmcore.errors import InvalidArgument

__all__ = ["level", "levels", "use"]

cdef tuple NAMES = ("baseline", "avx2", "avx512")
cdef mm_cpu in_use = mm_cpu_best()


cdef mm_cpu c_cpu() noexcept nogil:
    return in_use


def levels():
    """Every instruction set, and whether this machine and this build run it.

    Returns
    -------
    dict of str to bool
        From the baseline up.

    Examples
    --------
    >>> levels()["baseline"]
    True
    """
    return {name: bool(mm_cpu_runs(<mm_cpu><int>i)) for i, name in enumerate(NAMES)}


def level():
    """The name of the instruction set in use.

    Examples
    --------
    >>> level() in levels()
    True
    """
    return NAMES[in_use]


def use(name):
    """Use another instruction set from now on, for tests and benchmarks; no result changes.

    Parameters
    ----------
    name : str
        One of :func:`levels` that runs here.

    Raises
    ------
    InvalidArgument
        There is no such set, or it does not run here.

    Notes
    -----
    Thread-safety: a call that is under way in another thread goes on with the set that it began with.
    """
    _use("name", name)


cdef _use(str argument, name):
    global in_use
    runs = [known for known, here in levels().items() if here]
    if name not in runs:
        raise InvalidArgument(argument=argument, value=name, allowed=f"what runs here: {', '.join(runs)}")
    in_use = <mm_cpu><int>NAMES.index(name)


if os.environ.get("MMCORE_CPU"):
    _use("MMCORE_CPU", os.environ["MMCORE_CPU"])
