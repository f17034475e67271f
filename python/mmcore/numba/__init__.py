"""Quote and book inside numba's ``@njit``: calls to the kernels of the core, by their symbols.

A strategy loop that is compiled by numba, such as one of hftbacktest, quotes through the same lines as Python
and C do, to the same bits, without leaving compiled code. What it reads and writes are arrays: a policy as
bytes, rules and positions as records.

The kernels are found by name, so that functions compiled with ``cache=True`` work in the next process, which
has imported this module with them.

Examples
--------
>>> import numpy as np
>>> from numba import njit
>>> import mmcore as mm
>>> from mmcore.numba import depths, policy_block, quote, rules_of
>>> quoter = mm.Quoter(mm.Affine(base=1.5, slope=0.25), limits=mm.Limits(max_position=10))
>>> @njit
... def run(policy, rules, mids):
...     inventory = 0
...     for mid in mids:
...         q = quote(policy, rules, mid, inventory)
...         inventory += q.size[0] if mid < 100 else -q.size[1]
...     return inventory, q.price
>>> inventory, prices = run(policy_block(quoter.policy), rules_of(quoter), np.array([99.5, 98.5, 99.5]))
>>> inventory, prices
(3, (97, 101))
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..api import STRUCTS, address
from ..api import rules as _rules
from ..errors import InvalidArgument, MissingExtra
from ..quoting import Affine, Policy, Quoter

try:
    import llvmlite.binding
    from numba import carray, from_dtype, njit, types
    from numba.core import cgutils
    from numba.core.errors import TypingError
    from numba.extending import intrinsic
except ModuleNotFoundError:
    raise MissingExtra("mmcore.numba", "numba") from None

__all__ = [
    "POSITION",
    "RULES",
    "Quoted",
    "depths",
    "fill",
    "mark",
    "new_position",
    "policy_block",
    "profit",
    "quote",
    "rules_of",
]

NO_BID, NO_ASK = -(2**63), 2**63 - 1  # prices of absent sides
_WIDE = np.dtype([("lo", "u8"), ("hi", "i8")])

RULES = np.dtype(
    [
        ("max_position", "f8"),
        ("volatility_scale", "f8"),
        ("max_spread", "i8"),
        ("min_size", "i8"),
        ("shrink", "i4"),
        ("halted", "i4"),
        ("halt_after", "f8"),
        ("widen_after", "f8"),
        ("widen", "f8"),
    ]
)
"""The struct ``mm_rules``: what :class:`~mmcore.Limits` and the other rules of a quoter come to."""

POSITION = np.dtype(
    [
        ("net", "i8"),
        ("cash", _WIDE),
        ("cost", _WIDE),
        ("fees", _WIDE),
        ("mark", "i8"),
        ("bought", "i8"),
        ("sold", "i8"),
        ("fills", "i8"),
        ("lots_head", "i8"),
        ("lots_tail", "i8"),
        ("lots_used", "i8"),
        ("method", "i4"),
        ("flags", "i4"),
    ]
)
"""The struct ``mm_position``: lots, ticks, exact cash in tick*lots."""

_POLICY_BYTES = STRUCTS["mm_policy"]
_AVERAGE = 0  # mm_position.method
_position_init = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int)(
    address("mm_position_init")
)
_MAGIC = int.from_bytes(Affine(base=0.0).to_bytes()[:8], "little")  # of every block, and its ABI version
_ABI = _MAGIC >> 32
for _name, _type in (("mm_rules", RULES), ("mm_position", POSITION)):
    assert _type.itemsize == STRUCTS[_name], f"{_name} has {STRUCTS[_name]} bytes, not {_type.itemsize}"


class Quoted(NamedTuple):
    """What :func:`quote` returns: pairs are (bid, ask), an absent side has size 0."""

    price: tuple[int, int]
    size: tuple[int, int]
    take: int
    version: int
    why: int


def policy_block(policy: Policy | Quoter) -> NDArray[np.uint8]:
    """Bytes of a policy, or of the one that a quoter has now, not copied; the array keeps the policy alive.

    The functions here take it whole: a part of it is refused, and so are other bytes, by the magic, the ABI
    version and the size that a block begins with. They do not sum it up at every quote: bytes that come from
    elsewhere go through :meth:`mmcore.Policy.from_bytes`, which checks all of them.

    Examples
    --------
    >>> import mmcore as mm
    >>> policy_block(mm.Affine(base=1.5)).dtype
    dtype('uint8')
    """
    if isinstance(policy, Quoter):
        policy = policy.policy
    if not isinstance(policy, Policy):
        raise InvalidArgument(argument="policy", value=policy, allowed="a Policy or a Quoter")
    return np.frombuffer(cast(Any, policy), dtype=np.uint8)


def rules_of(quoter: Quoter) -> NDArray[Any]:
    """Rules of a quoter as they are now: an array of one record :data:`RULES`, to be changed at will.

    Examples
    --------
    >>> import mmcore as mm
    >>> float(rules_of(mm.Quoter(mm.Affine(base=1.5), limits=mm.Limits(max_position=7)))[0]["max_position"])
    7.0
    """
    if not isinstance(quoter, Quoter):
        raise InvalidArgument(argument="quoter", value=quoter, allowed="a Quoter")
    return np.frombuffer(bytearray(_rules(quoter)), dtype=RULES)


def new_position(negative_prices: bool = False) -> NDArray[Any]:
    """Return a flat position at average cost: an array of one record :data:`POSITION`.

    Average cost alone: the other methods keep a queue of lots, for which a record has no room. A record that
    says it has another is refused by :func:`fill`.

    Parameters
    ----------
    negative_prices : bool
        Whether prices and marks may be 0 or less, as of the :class:`mmcore.Instrument`.

    Examples
    --------
    >>> position = new_position()
    >>> fill(position, 3, 100), fill(position, -1, 103), mark(position, 101)
    (0, 0, 0)
    >>> profit(position), int(position[0]["net"])
    (5.0, 2)
    """
    if not isinstance(negative_prices, (bool, np.bool_)):
        raise InvalidArgument(argument="negative_prices", value=negative_prices, allowed="True or False")
    position = np.zeros(1, dtype=POSITION)
    _position_init(position.ctypes.data, _AVERAGE, bool(negative_prices))
    return position


def _kernel(name: str, result: Any, *arguments: Any) -> Any:
    """Return a kernel as numba calls it: by its symbol, which is put where LLVM finds it."""
    llvmlite.binding.add_symbol(name, address(name))
    return types.ExternalFunction(name, result(*arguments))


_at, _f8, _i8, _i4 = types.uintp, types.float64, types.int64, types.int32
_depths = _kernel("mm_depths", types.uint32, _at, _f8, _f8, _i8, _at)
_quote = _kernel(
    "mm_quote_make", types.void, _at, _at, _f8, _f8, _i8, _i8, _f8, _f8, _f8, _i8, _f8, _at
)  # fmt: skip
_fill = _kernel("mm_position_fill", _i4, _at, _at, _i8, _i8, _i8, _i8)
_mark = _kernel("mm_position_mark", _i4, _at, _i8)
_profit = _kernel("mm_position_profit", _f8, _at)


@intrinsic  # type: ignore[untyped-decorator]
def _room(context: Any, words: Any) -> Any:
    """Address of so many words on the stack."""
    if not isinstance(words, types.IntegerLiteral):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = context.get_value_type(types.uint64)
        room = cgutils.alloca_once(builder, word, size=words.literal_value)
        return builder.ptrtoint(room, context.get_value_type(types.uintp))

    return types.uintp(words), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(context: Any, at: Any) -> Any:
    """An address as a pointer."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.uintp), codegen


def _whole(name: str, unit: str) -> Any:
    """Return an intrinsic: an argument that is counted, as an int64. Of any other type a kernel would be
    handed what a cast makes of it, which cuts off fractions and wraps what a uint64 has beyond an int64.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def whole(context: Any, number: Any) -> Any:
        kind = types.unliteral(types.literal(number.value) if isinstance(number, types.Omitted) else number)
        if not isinstance(kind, types.Integer) or kind == types.uint64:
            raise TypingError(f"{name} must be a whole number of {unit}, an int64, got {kind}")

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return arguments[0]

        return types.int64(types.int64), codegen

    return whole


_touch_bid_of, _touch_ask_of = _whole("touch_bid", "ticks"), _whole("touch_ask", "ticks")
_qty_of, _price_of, _fee_of = _whole("qty", "lots"), _whole("price", "ticks"), _whole("fee", "currency units")
_state_of = _whole("state", "states")


def _data_of(context: Any, builder: Any, kind: Any, array: Any) -> tuple[Any, Any]:
    """Address of an array's data, and how many items they are; ``ctypes.data`` would count a reference."""
    whole = context.make_array(kind)(context, builder, array)
    return builder.ptrtoint(whole.data, context.get_value_type(types.uintp)), whole.nitems


def _is_row(kind: Any, item: Any) -> bool:
    """Whether an array type is one axis of such items without gaps: known when a call is compiled."""
    return bool(kind.ndim == 1 and kind.is_c_contig and kind.dtype == item)


@intrinsic  # type: ignore[untyped-decorator]
def _block(context: Any, policy: Any) -> Any:
    """Address of a policy; 0 where its first words do not say that the array holds all of it."""
    if not isinstance(policy, types.Array):
        raise TypingError(f"policy must be the array that policy_block returns, got {policy}")

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        at, size = _data_of(context, builder, signature.args[0], arguments[0])
        none, least = at.type(0), size.type(_POLICY_BYTES)
        if not _is_row(signature.args[0], types.uint8):
            return none
        found = cgutils.alloca_once_value(builder, none)
        with builder.if_then(builder.icmp_signed(">=", size, least)):
            words = builder.inttoptr(at, size.type.as_pointer())
            magic, told = (builder.load(builder.gep(words, [size.type(i)])) for i in range(2))
            for word in (magic, told):  # a block never changes: a loop reads them once
                word.set_metadata("invariant.load", builder.module.add_metadata([]))
            wrong = builder.or_(builder.xor(magic, size.type(_MAGIC)), builder.xor(told, size))
            right = builder.icmp_signed("==", wrong, size.type(0))
            builder.store(builder.select(right, at, none), found)
        return builder.load(found)

    return types.uintp(policy), codegen


def _record_of(name: str, dtype: Any, source: str, written: bool = False) -> Any:
    """Return an intrinsic: the address of an array's one record of a type; 0 where the array is not that."""
    wanted = from_dtype(dtype)

    @intrinsic  # type: ignore[untyped-decorator]
    def record(context: Any, array: Any) -> Any:
        if not isinstance(array, types.Array):
            raise TypingError(f"{name} must be the array that {source} returns, got {array}")
        if written and not array.mutable:
            raise TypingError(f"{name} must be an array that may be written to, got {array}")

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at, n = _data_of(context, builder, signature.args[0], arguments[0])
            if not _is_row(signature.args[0], wanted):
                return at.type(0)
            return builder.select(builder.icmp_signed("==", n, n.type(1)), at, at.type(0))

        return types.uintp(array), codegen

    return record


_rules_at = _record_of("rules", RULES, "rules_of")
_position_at = _record_of("position", POSITION, "new_position")
_position_to = _record_of("position", POSITION, "new_position", written=True)


_NO_POLICY = f"policy must be a whole block of ABI version {_ABI}, from policy_block"
_NO_RULES = "rules must be an array of one record, from rules_of"
_NO_POSITION = "position must be an array of one record, from new_position"


@njit(inline="always")
def depths(policy, inventory, time_left=np.inf, state=0):  # type: ignore[no-untyped-def]
    """Depths of both sides, ticks; NaN where a side is absent.

    Parameters
    ----------
    policy : ndarray of uint8
        From :func:`policy_block`.
    inventory : float
        Lots, signed.
    time_left : float
        Seconds; inf reads the stationary policy.
    state : int
        Index of the policy's state.

    Raises
    ------
    ValueError
        Where the array is not the whole block.
    TypingError
        Of numba, when a call is compiled: where the policy is no array, or the state no integer.
    """
    block, cell = _block(policy), _room(4)
    if block == 0:
        raise ValueError(_NO_POLICY)
    _depths(block, inventory, time_left, _state_of(state), cell)
    depth = carray(_pointer(cell), (2,), np.float64)
    return depth[0], depth[1]


@njit(inline="always")
def quote(  # type: ignore[no-untyped-def]
    policy,
    rules,
    reference,
    inventory,
    touch_bid=NO_BID,
    touch_ask=NO_ASK,
    shift=0.0,
    target=0.0,
    time_left=np.inf,
    state=0,
    age=0.0,
):
    """The quote now, as :meth:`mmcore.Quoter.quote`.

    Parameters
    ----------
    policy : ndarray of uint8
        From :func:`policy_block`.
    rules : ndarray of RULES, shape (1,)
        From :func:`rules_of`.
    reference, inventory, touch_bid, touch_ask, shift, target, time_left, state, age
        As there, touches and state as integers (not uint64); a touch that is absent is left out.

    Returns
    -------
    Quoted
        Prices in ticks, sizes in lots.

    Raises
    ------
    ValueError
        Where an array is not what these functions made.
    TypingError
        Of numba, when a call is compiled: where policy or rules are no arrays, touches or state no integers.
    """
    block, record, room = _block(policy), _rules_at(rules), _room(7)
    if block == 0:
        raise ValueError(_NO_POLICY)
    if record == 0:
        raise ValueError(_NO_RULES)
    _quote(
        block,
        record,
        reference,
        inventory,
        _touch_bid_of(touch_bid),
        _touch_ask_of(touch_ask),
        shift,
        target,
        time_left,
        _state_of(state),
        age,
        room,
    )
    out = carray(_pointer(room), (6,), np.int64)
    version = carray(_pointer(room), (6,), np.uint64)[5]
    why = carray(_pointer(room), (13,), np.uint32)[12]
    return Quoted((out[0], out[1]), (out[2], out[3]), out[4], version, why)


@njit(inline="always")
def fill(position, qty, price, fee=0):  # type: ignore[no-untyped-def]
    """Book a fill at average cost.

    Parameters
    ----------
    position : ndarray of POSITION, shape (1,)
        From :func:`new_position`; written to.
    qty : int
        Lots, bought > 0.
    price : int
        Ticks.
    fee : int
        Currency units, paid > 0.

    Returns
    -------
    int
        0; negative (an ``mm_status``): refused, and nothing was changed. So is any fill of a position at
        another cost basis, see :func:`new_position`.

    Raises
    ------
    ValueError
        Where the array is not one record of a position.
    TypingError
        Of numba, when a call is compiled: where qty, price or fee is no integer (a uint64 is none either: it
        may be beyond an int64), or the array may not be written to.
    """
    record = _position_to(position)
    if record == 0:
        raise ValueError(_NO_POSITION)
    return _fill(record, 0, 0, _qty_of(qty), _price_of(price), _fee_of(fee))


@njit(inline="always")
def mark(position, price):  # type: ignore[no-untyped-def]
    """Mark a position to a price in ticks, an integer; 0, or a negative ``mm_status``.

    Refused as by :func:`fill`.
    """
    record = _position_to(position)
    if record == 0:
        raise ValueError(_NO_POSITION)
    return _mark(record, _price_of(price))


@njit(inline="always")
def profit(position):  # type: ignore[no-untyped-def]
    """Realised and unrealised profit in tick*lots, fees apart: the nearest float; NaN if never marked.

    Refused as by :func:`fill`.
    """
    record = _position_at(position)
    if record == 0:
        raise ValueError(_NO_POSITION)
    return _profit(record)
