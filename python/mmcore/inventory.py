r"""How much inventory a policy holds: its stationary law, how fast it forgets, and what that costs.

**The chain.** With depths that depend on inventory alone, fills at the rates
:math:`\lambda_b(q) = A_b e^{-k_b\delta_b(q)}` and :math:`\lambda_a(q)` alike, :math:`\Delta` lots at a time,
make inventory a birth-death chain. It is in balance across every edge,

.. math:: \lambda_b(q)\,\pi(q) = \lambda_a(q + \Delta)\,\pi(q + \Delta),

which gives :math:`\ln\pi` by one sum, here from the peak of the law outwards, so that the rounding of
hundreds of thousands of nats in the tails does not reach the middle. For the stationary exact policy with
equal A, k and fees on both sides it is :math:`\pi(q) \propto v_q^2`, :math:`v = e^{k z}` (any drift, impact
and order size); unequal arrivals multiply that by :math:`(A_b/A_a)^{q/\Delta}`.

**The relaxation time** is the inverse of the spectral gap :math:`\lambda_1` of the generator: the time in
which a deviation from the law shrinks to 1/e. Made symmetric by :math:`\sqrt\pi`, minus the generator is
:math:`B B^T` with B bidiagonal, so its non-zero eigenvalues are those of the tri-diagonal :math:`B^T B`,
whose elimination can be written without a subtraction. Inverse iteration with it finds the gap to the last
digits even where the largest rates are 10 orders of magnitude above it. The autocorrelation of inventory,

.. math:: \rho(t) = \sum_{j \ge 1} c_j e^{-\lambda_j t}, \qquad \sum_j c_j = 1,

uses the slowest modes (at most 64); what is left of the sum decays with the last of them.

**The P&L**, marked to the reference price, is :math:`\int q\,\sigma\,dW + R_t` where R collects what fills
pay (depth, less fee, less what the price moves against the new inventory) and the drift. W is independent
of the chain, hence over t seconds, started from the law,

.. math:: \operatorname{Var} = t\,\sigma^2 E[q^2] + t\,J + 2\int_0^t (t - s)\,C(s)\,ds,

J the rate at which squared payments arrive and :math:`C(s) = \sum_j a_j e^{-\lambda_j s}` their
autocovariance. With the pay g of a fill, f of the time between fills and r(q) the mean of both per second,
:math:`C(s) = E_\pi[b\,(P_s - \pi) r]` where the reversed chain is paid
:math:`b(q) = \lambda_a(q) g_b(q-\Delta) + \lambda_b(q) g_a(q+\Delta) + f(q)`. Its long-run part is one sum
(the Poisson equation of a birth-death chain).

Examples
--------
>>> import mmcore as mm
>>> model = mm.GueantLehalleFernandezTapia(sigma=2.0, A=0.5, k=0.3, gamma=1e-5, q_max=40)
>>> law = model.inventory_law()
>>> law.interval(0.95)
(-18.0, 18.0)
>>> print(f"{law.std:.2f} lots, {law.relaxation_time:.0f} s")
9.34 lots, 475 s
"""

from __future__ import annotations

import html
import math
import warnings
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .depths import Depths
from .errors import (
    ApproximationWarning,
    CapacityError,
    InvalidArgument,
    Unsupported,
)
from .parameters import Parameter

__all__ = ["MARKET", "InventoryLaw", "inventory_law"]

Floats = NDArray[np.float64]

MAX_NODES = 1 << 22
MODES = 64
"""Most modes of the generator that are computed."""
TAIL = 80.0
"""Nats below the peak (a probability of 2e-35) beyond which nodes don't enter the spectrum."""

MARKET = (
    Parameter(
        "A", float, low=0.0, open_low=True, unit="1/s", pair=True,
        doc="rate of fills of a quote at the reference price",
    ),
    Parameter(
        "k", float, low=0.0, open_low=True, unit="1/tick", pair=True,
        doc="decay of that rate with the depth",
    ),
    Parameter(
        "sigma", float, default=None, low=0.0, unit="ticks/√s",
        doc="volatility of the reference price; needed for the P&L only",
    ),
    Parameter("fee", float, default=0.0, pair=True, unit="ticks per lot", doc="fee of a maker's fill"),
    Parameter("drift", float, default=0.0, unit="ticks/s", doc="expected drift of the reference price"),
    Parameter(
        "impact", float, default=0.0, low=0.0, unit="ticks", doc="how far a fill moves the mid against us"
    ),
    Parameter(
        "adverse_selection", float, default=0.0, pair=True, unit="ticks",
        doc="how far a market order moves the mid, whether or not it fills us",
    ),
)  # fmt: skip
"""What the law takes of a market; a model has the ones that it knows as attributes."""

_TIME_LEFT = Parameter("time_left", float, low=0.0, unit="s", doc="time left at which the policy is read")
_SESSION = Parameter(
    "session", float, default=None, low=0.0, open_low=True, unit="s", doc="length of a trading session"
)


def inventory_law(
    policy: Any,
    *,
    A: float | tuple[float, float],
    k: float | tuple[float, float],
    sigma: float | None = None,
    fee: float | tuple[float, float] = 0.0,
    drift: float = 0.0,
    impact: float = 0.0,
    adverse_selection: float | tuple[float, float] = 0.0,
    q_max: float | None = None,
    time_left: float = math.inf,
    session: float | None = None,
) -> InventoryLaw:
    """Find the stationary law of the inventory under any policy in a given market.

    Parameters
    ----------
    policy : policy or model
        A policy, a model, or anything with ``depths(inventory, time_left)``: :mod:`mmcore.depths` says what
        it may have. Its ``order_size`` is the step.
    A, k : float or (bid, ask)
        A quote at depth d is filled at the rate A exp(-k d); 1/s and 1/tick. ``A[0]`` is the rate of sell
        market orders.
    sigma : float, optional
        ticks/√s; needed for :meth:`InventoryLaw.pnl_std` only.
    fee, drift, impact, adverse_selection
        As in the models; they enter the P&L only.
    q_max : float, optional
        Position limit in lots, where it is tighter than the policy's own.
    time_left : float
        Seconds to the horizon at which the policy is read. For one that has no stationary depths the law
        is that of a clock that stands still there.
    session : float, optional
        Seconds that trading lasts: a relaxation time of more than a quarter of it is warned of.

    Returns
    -------
    InventoryLaw

    Raises
    ------
    InvalidArgument
        A number is outside its range; nothing bounds the inventory; where it ends depends on where it
        starts; the policy has no depths at this time left.
    CapacityError
        The law spreads over more than 4,194,304 nodes.
    Unsupported
        The policy takes liquidity, quotes other sizes than ``order_size``, or depends on a state.

    Warns
    -----
    ApproximationWarning
        The relaxation time exceeds a quarter of the session.

    Examples
    --------
    A desk's own rule, half a tick of skew per lot. The law is nearly normal, its variance 1/(2 k skew):

    >>> import mmcore as mm
    >>> law = inventory_law(mm.Affine(base=6.0, slope=0.5), A=0.5, k=0.3, sigma=2.0)
    >>> round(law.std, 3), law.bound(0.95)
    (1.826, 4.0)
    """
    return find_law(
        policy,
        {
            "A": A,
            "k": k,
            "sigma": sigma,
            "fee": fee,
            "drift": drift,
            "impact": impact,
            "adverse_selection": adverse_selection,
        },
        q_max,
        time_left,
        session,
    )


def find_law(
    policy: Any, given: dict[str, Any], q_max: float | None, time_left: float, session: float | None
) -> InventoryLaw:
    """Do what :func:`inventory_law` does, with the market as a dict; ``MARKET`` has the defaults."""
    market = {p.name: p.check(given.get(p.name, p.default)) for p in MARKET}
    if session is not None:
        session = _SESSION.check(session)
    reader = _Reader(policy, time_left)
    limit = reader.q_max
    if q_max is not None:
        if not (isinstance(q_max, (int, float)) and not math.isnan(q_max) and q_max >= reader.order_size):
            raise InvalidArgument(
                argument="q_max", value=q_max, allowed=f">= {reader.order_size:g} lots, the order size"
            )
        limit = min(limit, float(q_max))
    lattice = _bounded(reader, market, limit) if math.isfinite(limit) else _unbounded(reader, market)
    return InventoryLaw(reader, market, *lattice, session)


class InventoryLaw:
    """The stationary law of an inventory, its speed, and the P&L that goes with it.

    Made by :meth:`mmcore.models.model.Model.inventory_law` and :func:`inventory_law`. Lots, seconds, ticks.

    Attributes
    ----------
    inventories, pmf : ndarray
        The lattice (lots, a step of ``order_size``) and the long-run share of time at each point.
    bid, ask : ndarray
        Depths there, ticks; NaN where absent.
    rates : ndarray, shape (2, n)
        Fills per second of bid and ask at each point; 0 where absent.
    order_size, q_max : float
        Lots; q_max is infinite where nothing but the skew bounds the inventory.
    session : float or None
        Seconds that trading lasts.

    Notes
    -----
    Positions reached from zero: the multiples of the order size.

    Thread-safety: immutable but for cached numbers; may be shared between threads.
    """

    def __init__(
        self,
        reader: _Reader,
        market: dict[str, Any],
        inventories: Floats,
        depths: Floats,
        log_rates: Floats,
        log_pmf: Floats,
        session: float | None,
    ) -> None:
        self.inventories = inventories
        self.bid, self.ask = depths
        # beyond e^700 fills a second the law is below e^-700: nothing that is summed sees the cut
        self.rates = np.exp(np.minimum(log_rates, 700.0))
        self.pmf = np.exp(log_pmf)
        self.order_size = reader.order_size
        self.q_max = reader.limit
        self.name = reader.name
        self.session = session
        self.market = market
        inside = np.flatnonzero(log_pmf > -TAIL)
        self._core = slice(int(inside[0]), int(inside[-1]) + 1)
        for note in self.notes:
            warnings.warn(note, ApproximationWarning, stacklevel=4)  # at the caller's line

    # -- the law -----------------------------------------------------------------------------------

    @cached_property
    def mean(self) -> float:
        """Mean inventory, lots."""
        return float(self.pmf @ self.inventories)

    @cached_property
    def std(self) -> float:
        """Standard deviation of the inventory, lots."""
        return math.sqrt(float(self.pmf @ (self.inventories - self.mean) ** 2))

    @property
    def mean_square(self) -> float:
        """Mean of the squared inventory, lots^2."""
        return float(self.pmf @ self.inventories**2)

    def probability(self, bound: float) -> float:
        """Long-run share of time in which the inventory is within +-bound (lots)."""
        return 1.0 - self.beyond(bound)

    def beyond(self, bound: float) -> float:
        """Long-run share of time in which it is beyond +-bound (lots), to the last digits when small."""
        return float(self.pmf[np.abs(self.inventories) > bound].sum())

    def interval(self, probability: float = 0.95) -> tuple[float, float]:
        """Central interval: as much of the law as possible is left out on each side, not more than half.

        The largest low and the smallest high with P(q < low) and P(q > high) both at most
        (1 - probability)/2, to a part in 10^9; so it holds at least ``probability``, and is symmetric when
        the law is.

        Parameters
        ----------
        probability : float
            Strictly between 0 and 1.

        Returns
        -------
        low, high : float
            Lots.
        """
        spare = 0.5 * (1.0 - _share(probability)) * (1 + 1e-9)
        below = np.concatenate([[0.0], np.cumsum(self.pmf[:-1])])
        above = np.concatenate([np.cumsum(self.pmf[:0:-1])[::-1], [0.0]])
        low = self.inventories[np.flatnonzero(below <= spare)[-1]]
        high = self.inventories[np.flatnonzero(above <= spare)[0]]
        return float(low), float(high)

    def bound(self, probability: float = 0.95) -> float:
        """Smallest bound (lots) that holds the inventory, long or short, ``probability`` of the time."""
        spare = (1.0 - _share(probability)) * (1 + 1e-9)
        size = np.abs(self.inventories)
        order = np.argsort(size, kind="stable")
        above = np.cumsum(self.pmf[order][::-1])[::-1]  # share of time at this size or beyond
        edges = np.flatnonzero(np.diff(size[order], append=math.inf) > 0)  # the last of each size
        left = np.append(above[1:], 0.0)[edges]
        return float(size[order][edges[np.flatnonzero(left <= spare)[0]]])

    @property
    def one_sided(self) -> float:
        """Long-run share of time in which one side is not quoted, as at a position limit."""
        return float(self.pmf[(self.rates == 0.0).any(axis=0)].sum())

    @property
    def fill_rate(self) -> tuple[float, float]:
        """Fills per second of (bid, ask). In the long run they are equal."""
        bid, ask = self.rates @ self.pmf
        return float(bid), float(ask)

    # -- its speed ---------------------------------------------------------------------------------

    @property
    def _edges(self) -> tuple[Floats, Floats]:
        """Rates up and down across each edge of the core, 1/s."""
        bid, ask = self.rates[:, self._core]
        return bid[:-1], ask[1:]

    @cached_property
    def relaxation_time(self) -> float:
        """Inverse of the spectral gap, s: deviations from the law shrink to 1/e in this time, or faster."""
        return _slowest(*self._edges)

    def _modes(self, most: int = MODES) -> tuple[Floats, Floats]:
        """Eigenvalues (1/s, ascending, without 0) and eigenvectors (columns) of the symmetrised generator."""
        from scipy.linalg import eigh_tridiagonal

        up, down = self._edges
        if not up.size:
            return np.empty(0), np.empty((1, 0))
        leaving = np.append(up, 0.0) + np.append(0.0, down)
        last = min(most, up.size)
        value, vector = eigh_tridiagonal(
            leaving, -np.sqrt(up) * np.sqrt(down), select="i", select_range=(0, last)
        )
        found = np.asarray(value[1:], dtype=np.float64)
        # eigenvalues of the matrix as it is err by the largest rate times 1e-16; the gap is known better
        found[0] = 1.0 / self.relaxation_time
        return np.maximum(found, found[0]), np.asarray(vector[:, 1:], dtype=np.float64)

    @cached_property
    def _memory(self) -> tuple[Floats, Floats]:
        return self._remembered(MODES)

    def _remembered(self, most: int) -> tuple[Floats, Floats]:
        """Rates and shares of the autocorrelation; the last collects what is beyond the modes."""
        rates, vectors = self._modes(most)
        root = np.sqrt(self.pmf[self._core])
        share = ((root * (self.inventories[self._core] - self.mean)) @ vectors) ** 2 / self.std**2
        return np.append(rates, rates[-1]), np.append(share, max(1.0 - float(share.sum()), 0.0))

    def autocorrelation(self, seconds: ArrayLike) -> Any:
        """Correlation of the inventory with itself some seconds later.

        Parameters
        ----------
        seconds : float or array_like
            >= 0.

        Returns
        -------
        float or ndarray
            1 at 0, falling to 0. NaN for an inventory that never moves.
        """
        t = np.asarray(seconds, dtype=np.float64)
        if not (t >= 0).all():
            raise InvalidArgument(argument="seconds", value=seconds, allowed=">= 0")
        if self.std == 0.0:
            return np.full(t.shape, math.nan)[()]
        rates, share = self._memory
        return (np.exp(-np.multiply.outer(t, rates)) @ share)[()]

    @cached_property
    def half_life(self) -> float:
        """Seconds after which the autocorrelation of the inventory is one half; NaN if it never moves."""
        if self.std == 0.0:
            return math.nan
        from scipy.optimize import brentq

        # every mode is at least as fast as the slowest: rho(t) <= exp(-t / relaxation time)
        last = self.relaxation_time * math.log(2.0)
        for most in (MODES // 4, MODES):  # the faster ones have hardly ever anything left to say by then
            rates, share = self._remembered(most)
            half = brentq(
                lambda t, r, s: float(s @ np.exp(-r * t)) - 0.5,
                0.0,
                last * (1 + 1e-9),
                (rates, share),
                xtol=1e-13 * last,
            )
            if share[-1] * math.exp(-rates[-1] * half) < 1e-13:
                break
        return float(half)

    # -- what it earns and risks -------------------------------------------------------------------

    @cached_property
    def _pay(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Pay of a fill on each side (tick·lots), of the time between (per s), its squared jumps."""
        m, q, size = self.market, self.inventories, self.order_size
        (fee_bid, fee_ask), (down, up) = m["fee"], m["adverse_selection"]
        bid = size * (np.nan_to_num(self.bid) - fee_bid) - (q + size) * (m["impact"] + down)
        ask = size * (np.nan_to_num(self.ask) - fee_ask) + (q - size) * (m["impact"] + up)
        # orders that did not reach us move the price of what we hold all the same
        missed_bid, missed_ask = m["A"][0] - self.rates[0], m["A"][1] - self.rates[1]
        between = m["drift"] * q - missed_bid * (q * down) + missed_ask * (q * up)
        jumps = np.maximum(missed_bid, 0.0) * (q * down) ** 2 + np.maximum(missed_ask, 0.0) * (q * up) ** 2
        return bid, ask, between, jumps

    @cached_property
    def _income(self) -> Floats:
        """Mean pay per second at each inventory, tick·lots."""
        bid, ask, between, _ = self._pay
        income: Floats = self.rates[0] * bid + self.rates[1] * ask + between
        return income

    @cached_property
    def gain(self) -> float:
        """Expected P&L, tick·lots/s: depths less fees, impact, adverse selection, plus drift."""
        bid, ask, between, _ = self._pay
        # the law first: at the ends of a wide lattice rates are astronomical and probabilities vanish
        return float((self.pmf * self.rates[0]) @ bid + (self.pmf * self.rates[1]) @ ask + self.pmf @ between)

    @property
    def price_risk(self) -> float:
        """Standard deviation of the inventory's revaluation, tick·lots/√s: sigma sqrt(E q^2)."""
        sigma = self.market["sigma"]
        if sigma is None:
            raise InvalidArgument(
                "the P&L's risk needs sigma (ticks/√s), which was not given", argument="sigma"
            )
        return float(sigma) * math.sqrt(self.mean_square)

    def pnl_std(self, seconds: float) -> float:
        """Standard deviation of the P&L over some seconds, started from the law; tick·lots.

        Price moves on the inventory held, and the randomness of what fills earn, with its autocorrelation.
        ``Instrument.money`` turns tick·lots into currency.

        Parameters
        ----------
        seconds : float
            > 0.

        Notes
        -----
        Exact on up to 65 nodes; beyond, modes faster than the 64th enter by their long-run part.
        """
        if not (isinstance(seconds, (int, float)) and math.isfinite(seconds) and seconds > 0):
            raise InvalidArgument(argument="seconds", value=seconds, allowed="a finite number > 0 (s)")
        jumps, rates, shares, rest = self._spread_noise
        x = rates * seconds
        grown = np.where(x > 1e-4, x + np.expm1(-x), x * x * (0.5 - x / 6.0)) / rates**2
        variance = seconds * (self.price_risk**2 + jumps + 2.0 * rest) + 2.0 * float(shares @ grown)
        return math.sqrt(max(variance, 0.0))

    @cached_property
    def _spread_noise(self) -> tuple[float, Floats, Floats, float]:
        """J (per s), the modes' rates and shares in C, and the rest of its integral."""
        core = self._core
        pay_bid, pay_ask, between, squares = (x[core] for x in self._pay)
        bid, ask = self.rates[:, core]
        law = self.pmf[core] / self.pmf[core].sum()
        jumps = float(law @ (bid * pay_bid**2 + ask * pay_ask**2 + squares))
        reversed_pay = between.copy()
        reversed_pay[1:] += ask[1:] * pay_bid[:-1]
        reversed_pay[:-1] += bid[:-1] * pay_ask[1:]
        income = self._income[core]
        excess = income - law @ income
        # Poisson equation: across each edge, flow times the fall of the potential is what was earned below
        below, above = np.cumsum(law * excess)[:-1], np.cumsum((law * excess)[::-1])[::-1][1:]
        earned = np.where(np.cumsum(law)[:-1] < 0.5, below, -above)
        potential = np.concatenate([[0.0], -np.cumsum(earned / (law * bid)[:-1])])
        whole = float((law * reversed_pay) @ (potential - law @ potential))
        rates, vectors = self._modes()
        root = np.sqrt(law)
        shares = ((root * (reversed_pay - law @ reversed_pay)) @ vectors) * ((root * excess) @ vectors)
        return jumps, rates, shares, whole - float((shares / rates).sum())

    # -- for people --------------------------------------------------------------------------------

    @property
    def notes(self) -> list[str]:
        """What a reader should know before using the law, in words."""
        notes = []
        if self.session is not None and self.relaxation_time > self.session / 4:
            notes.append(
                f"the relaxation time, {_span(self.relaxation_time)}, is more than a quarter of the session, "
                f"{_span(self.session)}: an inventory that starts flat spends much of the session closer to "
                "zero than this law says"
            )
        return notes

    def to_dict(self) -> dict[str, Any]:
        """The law's numbers as plain values, ready for JSON."""
        known = self.market["sigma"] is not None
        return {
            "q_max": self.q_max if math.isfinite(self.q_max) else None,
            "order_size": self.order_size,
            "mean": self.mean,
            "std": self.std,
            "interval_95": list(self.interval()),
            "one_sided": self.one_sided,
            "fill_rate": list(self.fill_rate),
            "relaxation_time": self.relaxation_time,
            "half_life": None if math.isnan(self.half_life) else self.half_life,
            "gain": self.gain,
            "price_risk": self.price_risk if known else None,
            "pnl_std_hour": self.pnl_std(3600.0) if known else None,
            "session": self.session,
            "notes": self.notes,
        }

    def _rows(self) -> list[tuple[str, str]]:
        low, high = self.interval()
        rows = [
            ("95 % of the time", f"{low:g} to {high:g} lots"),
            ("mean, standard deviation", f"{_near_zero(self.mean, self.std):.3g}, {self.std:.3g} lots"),
            ("one side not quoted", _percent(self.one_sided) + " of the time"),
            ("fills", f"{self.fill_rate[0]:.3g} per second and side"),
        ]
        if self.std:
            rows.append(
                ("relaxation time", f"{_span(self.relaxation_time)}; half-life {_span(self.half_life)}")
            )
        rows.append(("expected P&L", f"{self.gain * 3600:.4g} tick·lots per hour"))
        if self.market["sigma"] is not None:
            rows.append(("its deviation", f"{self.pnl_std(3600.0):.4g} tick·lots over an hour"))
        return rows

    def __repr__(self) -> str:
        rows = self._rows()
        width = max(len(name) for name, _ in rows)
        lines = [f"Inventory law of {self.name}"]
        lines += [f"  {name.ljust(width)}  {text}" for name, text in rows]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        body = "".join(
            f"<tr><td>{html.escape(n)}</td><td>{html.escape(text)}</td></tr>" for n, text in self._rows()
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"<div><p>Inventory law of {html.escape(self.name)}</p><table><tbody>{body}</tbody></table>"
            + (f"<ul>{notes}</ul>" if notes else "")
            + "</div>"
        )

    @property
    def shown(self) -> tuple[Floats, Floats]:
        """The part worth drawing: inventories and shares, without tails below a millionth of the peak."""
        seen = np.flatnonzero(self.pmf > 1e-6 * self.pmf.max())
        part = slice(int(seen[0]), int(seen[-1]) + 1)
        return self.inventories[part], self.pmf[part]

    def bars(self, width: float) -> tuple[Floats, Floats]:
        """The same as shares of bars ``width`` lots wide, to be drawn over them; at least a step wide."""
        inventories, share = self.shown
        return inventories, share * max(1.0, width / self.order_size)

    def plot(self, ax: Any = None) -> Any:
        """Draw the share of time at each inventory, and the central 95 %.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure when omitted.

        Raises
        ------
        MissingExtra
            matplotlib is not installed (extra ``plot``).
        """
        from .plots import plot_law

        return plot_law(self, ax)


class _Reader:
    """Depths of a policy or model at one time left, and what the chain needs to know of it."""

    def __init__(self, policy: Any, time_left: float) -> None:
        self.time_left: float = _TIME_LEFT.check(time_left) if time_left != math.inf else time_left
        self.read = Depths(policy)
        self.name = type(policy).__name__
        self.order_size = self.read.order_size
        self.q_max = self.limit = self.read.q_max
        cells = getattr(policy, "cells", None)
        if cells is not None:
            if len(cells) > 1:
                raise Unsupported(
                    f"the policy depends on a state ({len(cells)} of them): inventory alone is no Markov "
                    "chain then"
                )
            quoted = np.isfinite(cells["depth"])
            if (cells["take"] != 0).any() or (cells["size"][quoted] != self.order_size).any():
                raise Unsupported(
                    "the policy takes liquidity or quotes other sizes than its order_size, "
                    f"{self.order_size:g} lots: inventory does not move by one step then"
                )

    def __call__(self, inventories: Floats) -> Floats:
        depths = self.read(inventories, np.full(inventories.shape, self.time_left))
        if np.isnan(depths).all():
            raise InvalidArgument(
                f"the policy quotes nothing at time_left={self.time_left:g}"
                + (
                    ": it has no stationary depths; give the time left (s)"
                    if self.time_left == math.inf
                    else ""
                ),
                argument="time_left",
                value=self.time_left,
            )
        return depths


def _bounded(reader: _Reader, market: dict[str, Any], limit: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Lattice within a limit: inventories, depths, log rates, log law."""
    reader.limit = limit
    steps = math.floor(limit / reader.order_size * (1 + 1e-12))
    if 2 * steps + 1 > MAX_NODES:
        raise CapacityError(
            f"a limit of {limit:g} lots makes {2 * steps + 1:,} nodes; at most {MAX_NODES:,} are allowed",
            argument="q_max",
            value=limit,
        )
    q: Floats = np.arange(-steps, steps + 1, dtype=np.float64) * reader.order_size
    depths = reader(q)
    depths[0, -1] = depths[1, 0] = math.nan
    rates = _log_rates(depths, market)
    return _recurrent(q, depths, rates)


def _unbounded(reader: _Reader, market: dict[str, Any]) -> tuple[Floats, Floats, Floats, Floats]:
    """Lattice that only the skew bounds: wide enough to hold all but e^-80 of the peak at its ends."""
    steps = 64
    while 2 * steps + 1 <= MAX_NODES:
        q, depths, rates, log_pmf = _bounded(reader, market, steps * reader.order_size)
        reader.limit = math.inf
        if max(log_pmf[0], log_pmf[-1]) < -TAIL:
            # further out rates may leave the range of numbers, and nobody is ever there
            inside = np.flatnonzero(log_pmf > -700.0)
            part = slice(int(inside[0]), int(inside[-1]) + 1)
            return q[part], depths[:, part], rates[:, part], log_pmf[part]
        if q[0] > -steps * reader.order_size and q[-1] < steps * reader.order_size:
            return q, depths, rates, log_pmf
        steps *= 4
    raise InvalidArgument(
        "nothing bounds the inventory: the policy has no q_max, and its skew does not pull inventory back; "
        "give q_max (lots)",
        argument="q_max",
        value=None,
    )


def _log_rates(depths: Floats, market: dict[str, Any]) -> Floats:
    A, k = np.array([market["A"], market["k"]])[:, :, None]
    rates: Floats = np.where(np.isnan(depths), -math.inf, np.log(A) - k * depths)
    return rates


def _recurrent(q: Floats, depths: Floats, rates: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Keep the nodes that are returned to, and their law by detailed balance."""
    up, down = np.isfinite(rates[0, :-1]), np.isfinite(rates[1, 1:])
    first, last = 0, len(q)
    right, left = np.flatnonzero(up & ~down), np.flatnonzero(down & ~up)
    if right.size:
        first = int(right[-1]) + 1
    if left.size:
        last = int(left[0]) + 1
    if first >= last or not (up | down).all():
        raise InvalidArgument(
            "the policy does not quote towards both ends of some part of its inventories, so where the "
            "inventory ends depends on where it starts: there is no single stationary law",
            argument="policy",
        )
    q, depths, rates = q[first:last], depths[:, first:last].copy(), rates[:, first:last].copy()
    steps = rates[0, :-1] - rates[1, 1:]
    log_pmf = np.concatenate([[0.0], np.cumsum(steps)])
    peak = int(np.argmax(log_pmf))
    log_pmf = np.concatenate([-np.cumsum(steps[:peak][::-1])[::-1], [0.0], np.cumsum(steps[peak:])])
    log_pmf -= math.log(float(np.exp(log_pmf).sum()))
    return q, depths, rates, log_pmf


def _slowest(up: Floats, down: Floats) -> float:
    """Relaxation time of a birth-death chain from its rates across each edge."""
    from scipy.linalg import eigh_tridiagonal
    from scipy.linalg.lapack import dpttrs

    n = len(up)
    if n == 0:
        return 0.0
    # B^T B = L D L^T: pivot d[i] = down[i] + t[i] with t[i] = up[i] t[i-1] / d[i-1], all positive
    pivot = np.empty(n)
    escape = 1.0
    for i, (rise, fall) in enumerate(zip(up.tolist(), down.tolist(), strict=True)):
        t = rise * escape
        pivot[i] = fall + t
        escape = t / pivot[i]
    off = -np.sqrt(down[:-1]) * np.sqrt(up[1:])
    factor = off / pivot[:-1]
    # starts near the answer, because inverse iteration alone is slow where two modes are nearly as slow
    y = np.abs(eigh_tridiagonal(up + down, off, select="i", select_range=(0, 0))[1][:, 0])
    time = 0.0
    for _ in range(1000):
        z, _ = dpttrs(pivot, factor, y)
        before, time = time, float(y @ z)
        y = z / math.sqrt(float(z @ z))
        if abs(time - before) <= 2e-15 * time:
            break
    return time


def _share(probability: Any) -> float:
    if not (isinstance(probability, (int, float)) and 0.0 < probability < 1.0):
        raise InvalidArgument(argument="probability", value=probability, allowed="strictly between 0 and 1")
    return float(probability)


def _near_zero(value: float, scale: float) -> float:
    return 0.0 if abs(value) < 1e-4 * scale else value


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share >= 5e-5 or share == 0.0 else "less than 0.01 %"


def _span(seconds: float) -> str:
    """Seconds as a person would say them."""
    for unit, size in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 100 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.3g} s"
