"""What float() takes, or half takes, and is no number: every door refuses it by the argument's name."""

import numpy as np

NO_SCALARS = [
    np.complex128(1.5 + 2j),
    1.5 + 2j,
    np.True_,
    True,
    np.array(True),
    np.array("1.5"),
    np.array("1.5", object),
    np.array(1.5 + 2j),
    np.timedelta64(1, "ns"),
    np.ma.masked,
    np.ma.array(1.5, mask=True),
    memoryview(b"1"),
    bytearray(b"12"),
    np.str_("1.5"),
    {1.0, 2.0},
    {1.0: 0, 2.0: 0},
]


def shown(value):
    """The name of a case: the same in every process, which an address is not."""
    return f"{type(value).__name__} {value if not isinstance(value, memoryview) else bytes(value)}"
