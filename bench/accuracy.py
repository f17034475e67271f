"""How far the formulas err, against 60-digit arithmetic: the table of docs/accuracy.md.

``python -m bench.accuracy`` prints it. Each quantity is sampled at random over its whole domain and at the
domain's corners; from the worst points found the search goes on in steps of a factor at most, down to single
units in the last place, as long as the error grows.

A quantity that is one positive term is measured in units in the last place of the result; a sum in 2^-53
times the sum of its terms' sizes, which is what rounding each term and each partial sum once could cost.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf
from numpy.typing import NDArray

import mmcore as mm

from .bench_orders import kernels

DIGITS = 60
Floats = NDArray[np.float64]
TINY, HUGE = 1e-18, 1e3


@functools.cache
def _library() -> ctypes.CDLL:
    return kernels("accuracy")


@dataclass(frozen=True)
class Range:
    """Where an argument comes from: log-uniform between its ends, zero and either sign where they are."""

    low: float
    high: float
    zero: bool = False
    signed: bool = False

    def draw(self, rng: np.random.Generator, n: int) -> Floats:
        """Return n values, the corners among them."""
        x: Floats = np.exp(rng.uniform(np.log(self.low), np.log(self.high), n))
        x[rng.random(n) < 0.05] = self.low
        x[rng.random(n) < 0.05] = self.high
        if self.zero:
            x[rng.random(n) < 0.05] = 0.0
        if self.signed:
            x *= rng.choice([-1.0, 1.0], n)
        return x

    def hold(self, x: Floats) -> Floats:
        """Return x kept within the ends; zero stays."""
        kept: Floats = np.copysign(np.clip(np.abs(x), self.low, self.high), x)
        return np.where((x == 0.0) & self.zero, x, kept)


@dataclass(frozen=True)
class Quantity:
    """What is measured: the kernel's name, its arguments, and the terms whose sum it is."""

    kernel: str
    label: str
    domain: tuple[Range, ...]
    terms: Callable[..., tuple[Any, ...]]
    bound: float
    single: bool = True

    def errors(self, rows: Floats) -> Floats:
        """Error of each row, in the units of the quantity; 0 where the result is not a normal number."""
        out = np.empty(len(rows))
        at = ctypes.POINTER(ctypes.c_double)
        rows = np.ascontiguousarray(rows)
        getattr(_library(), self.kernel)(
            ctypes.c_int64(len(rows)), rows.ctypes.data_as(at), out.ctypes.data_as(at)
        )
        with mp.workdps(DIGITS):
            return np.array([self._error(float(y), row) for y, row in zip(out, rows.tolist(), strict=True)])

    def _error(self, y: float, row: list[float]) -> float:
        terms = self.terms(*map(mpf, row))
        exact = mpmath.fsum(terms)
        size = mpmath.fsum(map(abs, terms))
        if not 2.0**-1021 < size < 2.0**1023:
            return 0.0
        unit = float(np.spacing(abs(float(exact)))) if self.single else 2.0**-53 * float(size)
        return float(abs(mpf(y) - exact) / mpf(unit))

    def worst(self, points: int, climbs: int, seed: int) -> tuple[float, list[float]]:
        """Return the largest error found, and where."""
        rng = np.random.default_rng(seed)
        rows = np.column_stack([r.draw(rng, points) for r in self.domain])
        corners = [(r.low, r.high, *((0.0,) if r.zero else ())) for r in self.domain]
        if len(list(itertools.islice(itertools.product(*corners), 1001))) <= 1000:
            rows = np.vstack([rows, np.array(list(itertools.product(*corners)))])
        errors = self.errors(rows)
        order = np.argsort(errors)[-8:]
        best, at = errors[order], rows[order]
        step = 0.1
        for _ in range(climbs):
            near = np.repeat(at, 8, axis=0)
            factor = np.exp(step * rng.standard_normal(near.shape))
            near = np.column_stack([r.hold(c) for r, c in zip(self.domain, (near * factor).T, strict=True)])
            found = self.errors(near).reshape(len(at), 8)
            pick = found.argmax(axis=1)
            better = found.max(axis=1) > best
            best = np.where(better, found.max(axis=1), best)
            at = np.where(better[:, None], near.reshape(len(at), 8, -1)[np.arange(len(at)), pick], at)
            step = max(step * 0.8, 1e-15)
        i = int(best.argmax())
        return float(best[i]), at[i].tolist()


def _share(y: Any) -> Any:
    return mpmath.log1p(y) / y if y else mpf(1)


def _constant(c: Any, k: Any) -> Any:
    return mpmath.exp(-_share(c / k)) / (1 + c / k)


def _stoikov(gamma: Any, sigma: Any, k: Any, tau: Any, q: Any, size: Any) -> tuple[Any, ...]:
    """The terms of the bid's depth; orders are of whole lots."""
    skew = gamma * sigma**2 * tau
    return _share(gamma * size / k) / k, skew * size / 2, skew * q


def _closed(
    gamma: Any, sigma: Any, kb: Any, ab: Any, ka: Any, aa: Any, drift: Any, q: Any
) -> tuple[Any, ...]:
    up, down = ab * _constant(gamma, kb) / kb, aa * _constant(gamma, ka) / ka
    bend = up * kb**2 + down * ka**2
    slope = mpmath.sqrt(gamma * sigma**2 / bend)
    half = slope / 2
    pull = -drift * slope / (gamma * sigma**2) if drift else mpf(0)
    return (
        _share(gamma / kb) / kb,
        half,
        -half * up * kb**2 / bend,
        half * down * ka**2 / bend,
        up * kb / bend,
        -down * ka / bend,
        pull,
        slope * q,
    )


ANY, POSITIVE = Range(TINY, HUGE, zero=True), Range(TINY, HUGE)
RATE = Range(1e-6, 1e6)
QUANTITIES = (
    Quantity("log_", "log x", (Range(1e-307, 1e308),), lambda x: (mpmath.log(x),), 0.61),
    Quantity("log_", "log x near 1", (Range(0.5, 2.0),), lambda x: (mpmath.log(x),), 0.61),
    Quantity("log1p_", "log1p x", (Range(1e-300, 1e300),), lambda x: (mpmath.log1p(x),), 0.61),
    Quantity(
        "log1p_",
        "log1p x, |x| < 1",
        (Range(1e-20, 1 - 2.0**-53, signed=True),),
        lambda x: (mpmath.log1p(x),),
        0.61,
    ),
    Quantity("exp_", "exp x", (Range(1e-20, 708.0, signed=True),), lambda x: (mpmath.exp(x),), 0.56),
    Quantity("expm1_", "expm1 x", (Range(1e-300, 709.0, signed=True),), lambda x: (mpmath.expm1(x),), 0.65),
    Quantity(
        "expm1_",
        "expm1 x, |x| about 1/3",
        (Range(0.2, 1.5, signed=True),),
        lambda x: (mpmath.expm1(x),),
        0.65,
    ),
    Quantity(
        "pow_",
        "x^y, |y| < 20",
        (Range(1e-15, 1e15), Range(1e-3, 20.0, signed=True)),
        lambda x, y: (x**y,),
        1.2,
    ),
    Quantity(
        "exp_product",
        "exp(x y)",
        (Range(1e-9, 1e9), Range(1e-9, 1e9, signed=True)),
        lambda x, y: (mpmath.exp(x * y),) if abs(x * y) < 708 else (mpf(0),),
        0.56,
    ),
    Quantity(
        "half_spread",
        "static half-spread log1p(γ/k)/γ",
        (ANY, POSITIVE),
        lambda c, k: (_share(c / k) / k,),
        0.6,
    ),
    Quantity(
        "fill_constant", "C = (1 + γ/k)^-(1 + k/γ)", (ANY, POSITIVE), lambda c, k: (_constant(c, k),), 0.6
    ),
    Quantity(
        "fill_value",
        "A C e^(-k s) / k",
        (ANY, POSITIVE, RATE, Range(TINY, HUGE, zero=True, signed=True)),
        lambda c, k, a, s: (a * _constant(c, k) * mpmath.exp(-k * s) / k,) if abs(k * s) < 600 else (mpf(0),),
        0.7,
    ),
    Quantity("skew_per_lot", "γ σ² τ", (POSITIVE, POSITIVE, POSITIVE), lambda g, s, t: (g * s**2 * t,), 1.6),
    Quantity(
        "closed_slope",
        "slope of the closed form",
        (POSITIVE, POSITIVE, POSITIVE, RATE),
        lambda g, s, k, a: (mpmath.sqrt(g * s**2 / (2 * a * _constant(g, k) * k)),),
        1.3,
    ),
    Quantity(
        "widening", "widening w √age", (POSITIVE, POSITIVE), lambda w, age: (w * mpmath.sqrt(age),), 1.6
    ),
    Quantity(
        "stoikov_depth",
        "depth, Avellaneda-Stoikov",
        (ANY, ANY, POSITIVE, ANY, Range(1.0, 1e6, zero=True, signed=True), Range(1.0, 1e3)),
        lambda g, s, k, t, q, size: _stoikov(g, s, k, t, q, mpmath.floor(size)),
        4,
        single=False,
    ),
    Quantity(
        "closed_depth",
        "depth, closed form",
        (
            POSITIVE,
            POSITIVE,
            POSITIVE,
            RATE,
            POSITIVE,
            RATE,
            Range(TINY, HUGE, zero=True, signed=True),
            Range(1.0, 1e6, zero=True, signed=True),
        ),
        _closed,
        4,
        single=False,
    ),
    Quantity(
        "price_target",
        "price before rounding",
        (
            Range(1.0, 1e9, signed=True),
            Range(TINY, HUGE, zero=True, signed=True),
            Range(TINY, 1e6, signed=True),
            Range(1e-3, HUGE),
            ANY,
            POSITIVE,
        ),
        lambda ref, shift, depth, scale, widen, age: (ref, shift, -depth * scale, -widen * mpmath.sqrt(age)),
        4,
        single=False,
    ),
)


def _recursion(rate: list[Any], end: Any, gain: Any, goes: Any) -> tuple[list[Any], Any, Any] | None:
    """Fluxes that leave the nodes, what comes in at the end and its slope in the gain; None: not positive."""
    fluxes: list[Any] = []
    came, slope = mpf(0), mpf(0)
    for r in rate[:end]:
        y = gain - r - came
        if y <= 0:
            return None
        came, power = goes(y)
        slope = -power * came / y * (1 - slope)
        fluxes.append(y)
    return fluxes, came, slope


def differences(rate: list[Any], up: Any, down: Any, kb: Any, ka: Any, gain: Any) -> list[Any]:
    """Solve up e^(kb x[i]) + down e^(-ka x[i-1]) = gain - rate[i] for the differences x.

    Two recursions, from both ends to where the stationary law peaks, and Newton's method in the gain within a
    bracket, from the gain given to all digits.
    """
    n = len(rate)

    def rises(y: Any) -> tuple[Any, Any]:
        return down * (up / y if ka == kb else (y / up) ** (-ka / kb)), ka / kb

    def falls(y: Any) -> tuple[Any, Any]:
        return up * (down / y if ka == kb else (y / down) ** (-kb / ka)), kb / ka

    meet = max(range(n), key=lambda i: (rate[i], -abs(i - n // 2)))
    while True:
        low, high, g = rate[meet], None, gain
        while True:
            below = _recursion(rate, meet, g, rises)
            above = _recursion(rate[::-1], n - 1 - meet, g, falls)
            step = None
            if below and above:
                gap = g - rate[meet] - below[1] - above[1]
                step = -gap / (1 - below[2] - above[2])
                if abs(step) < mpf(10) ** (15 - DIGITS) * (g - rate[meet]):
                    break
                low, high = (g, high) if gap < 0 else (low, g)
            else:
                low = g
            g = low if step is None else g + step
            if not (low < g and (high is None or g < high)):
                g = (low + high) / 2 if high is not None else low + abs(low - rate[meet]) + up + down
        x = [mpmath.log(y / up) / kb for y in below[0]] + [-mpmath.log(y / down) / ka for y in above[0][::-1]]
        law = list(
            itertools.accumulate((mpmath.log(kb * up / (ka * down)) + (kb + ka) * d for d in x), initial=0)
        )
        peak = max(range(n), key=lambda i: law[i])
        if peak == meet or law[peak] == law[meet]:
            return x
        meet = peak


def depth_errors(
    model: mm.GueantLehalleFernandezTapia | mm.CarteaJaimungal, bid: Floats, ask: Floats
) -> tuple[float, int]:
    """Largest error of stationary depths at the model's inventories, and the node's number.

    In 2^-53 of the sizes of what a depth is the sum of: the static half-spread; what a fill costs, term by
    term; the difference of the value at which both sides fill equally often, by their slopes; and what the
    value differs by beyond it.
    """
    with mp.workdps(DIGITS):
        size, n = mpf(model.order_size), model.q_max // model.order_size
        if isinstance(model, mm.CarteaJaimungal):
            curvature, bend = mpf(0), mpf(model.running_penalty)
            extra = [mpf(e) for e in model.adverse_selection]
            lean = mpf(model.drift) + extra[1] * mpf(model.A[1]) - extra[0] * mpf(model.A[0])
        else:
            risk = mpf(model.gamma)
            curvature = risk * size if model.objective == "exponential" else mpf(0)
            bend, extra, lean = (
                risk * mpf(model.sigma) ** 2 / 2,
                2 * [mpf(model.impact) / 2],
                mpf(model.drift),
            )
        rate = [lean * i - bend * i * i * size for i in range(-n, n + 1)]
        k, fee = [mpf(k) for k in model.k], [mpf(f) for f in model.fee]
        half = [_share(curvature / d) / d for d in k]
        factor = [
            mpf(model.A[s]) * _constant(curvature, k[s]) * mpmath.exp(-k[s] * (fee[s] + extra[s])) / k[s]
            for s in range(2)
        ]
        x = differences(rate, *factor, *k, mpf(model.gain) / size)
        level = mpmath.log(k[1] * factor[1] / (k[0] * factor[0])) / (k[0] + k[1])
        worst, where = 0.0, 0
        for i, exact in enumerate(x):  # the bid of node i, and the ask of the node above it
            for side, got in ((0, bid[i]), (1, ask[i + 1])):
                terms = (half[side], fee[side], extra[side], level, exact - level)
                depth = half[side] + fee[side] + extra[side] + (exact if side else -exact)
                error = float(abs(mpf(float(got)) - depth) / mpmath.fsum(map(abs, terms)) * 2**53)
                if not error <= worst:
                    worst, where = error, i
    return worst, where


def draw(rng: np.random.Generator, most: int) -> mm.GueantLehalleFernandezTapia | mm.CarteaJaimungal:
    """Return an exact model from anywhere in its domain, with up to `most` orders to either side."""
    any_, rate = Range(TINY, HUGE, zero=True), Range(1e-6, 1e6)

    def one(of: Range) -> float:
        return float(of.draw(rng, 1)[0])

    def pair(of: Range, apart: float) -> tuple[float, float]:
        first = one(of)
        other = first * np.exp(rng.uniform(-1, 1) * apart) if rng.random() < 0.5 else first
        return first, float(of.hold(np.array([other]))[0])

    k = pair(Range(1e-13, HUGE), math.log(30.0))  # below, depths are beyond 2^51 ticks
    n = int(np.exp(rng.uniform(0, math.log(most + 1))))
    size = int(np.exp(rng.uniform(0, 7))) if rng.random() < 0.3 else 1
    given: dict[str, Any] = {"A": pair(rate, 14.0), "k": k, "q_max": n * size, "order_size": size}
    tick = 1 / max(k)
    if rng.random() < 0.5:
        given["fee"] = tuple(tick * rng.uniform(-2, 2, 2))
    if rng.random() < 0.2:
        given["drift"] = float(rng.choice([-1, 1])) * given["A"][0] * tick * one(Range(1e-9, 1.0))
    if rng.random() < 0.3:
        penalty = one(any_) if rng.random() < 0.3 else given["A"][0] * tick / size * one(Range(1e-9, 1e3))
        return mm.CarteaJaimungal(
            running_penalty=penalty, adverse_selection=tuple(tick * rng.uniform(0, 2, 2)), **given
        )
    if rng.random() < 0.3:
        given["impact"] = tick * rng.uniform(0, 2)
    return mm.GueantLehalleFernandezTapia(sigma=one(any_), gamma=one(any_), **given)


def draw_alike(rng: np.random.Generator, most: int) -> mm.GueantLehalleFernandezTapia | mm.CarteaJaimungal:
    """Return an exact model of gamma/k > 1000 whose sides fill nearly equally often at no inventory.

    Its depths have no large term: static half-spreads are far below 1/k, and what the value differs by about
    the law's peak falls with the square of the number of nodes. Both k are as near as doubles can be, or up
    to a tenth apart, and A may make up for that.
    """

    def one(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(math.log(low), math.log(high))))

    apart = float(rng.choice([-1, 1])) * one(1e-16, 0.1) if rng.random() < 0.8 else 0.0
    bid = one(1e-13, 1.0)
    k = bid, bid * (1 + apart)
    gamma = min(HUGE, k[0] * one(1e3, 1e12))
    size = int(one(1, 150)) if rng.random() < 0.3 else 1
    a = one(1e-6, 1e6)
    with mp.workdps(DIGITS):
        makes_up = float(_constant(mpf(gamma) * size, mpf(k[0])) / _constant(mpf(gamma) * size, mpf(k[1])))
    other = a * makes_up if abs(apart) > 1e-3 and rng.random() < 0.7 else a
    if rng.random() < 0.3:
        other *= 1 + float(rng.choice([-1, 1])) * one(1e-16, 1e-2)
    given: dict[str, Any] = {"order_size": size, "q_max": size * int(one(1, most + 1))}
    if rng.random() < 0.3:
        given["fee"] = tuple(one(1e-12, 1) * rng.uniform(-1, 1, 2) / k[0])
    sigma = math.sqrt(2 * one(1e-14, 1) * a) / (gamma * size)
    return mm.GueantLehalleFernandezTapia(sigma=sigma, gamma=gamma, A=(a, other), k=k, **given)


Draw = Callable[[np.random.Generator, int], mm.GueantLehalleFernandezTapia | mm.CarteaJaimungal]


def stationary_depths(models: int, seed: int, most: int = 30, draw: Draw = draw) -> tuple[float, str]:
    """Largest error of exact models' stationary depths, in 2^-53 of their terms, and the model and node."""
    rng = np.random.default_rng(seed)
    worst, where = 0.0, ""
    done = 0
    while done < models:
        try:
            model = draw(rng, most)
            policy = model.policy()
        except ValueError:  # out of proportion: a number leaves its range
            continue
        done += 1
        error, node = depth_errors(model, *policy.depths_batch(policy.inventories))
        if not error <= worst:
            worst, where = error, f"{model!r}, node {node}"
    return worst, where


def main(arguments: list[str]) -> None:
    """Print the table; ``--quick`` with fewer points."""
    points, climbs = (300, 5) if "--quick" in arguments else (20_000, 60)
    print("| quantity | largest error found | at |")
    print("|---|---|---|")
    for i, quantity in enumerate(QUANTITIES):
        error, at = quantity.worst(points, climbs, seed=i)
        unit = "ulp" if quantity.single else "2⁻⁵³ Σ\\|terms\\|"
        label, place = quantity.label.replace("|", "\\|"), ", ".join(f"{x:.17g}" for x in at)
        print(f"| {label} | {error:.3f} {unit} | {place} |", flush=True)
    for of, which, wide in ((draw, "exact", 3000), (draw_alike, "sides alike", 400)):
        for most, models in ((30, 2000), (wide, 60)):
            error, place = stationary_depths(models // 200 if "--quick" in arguments else models, 1, most, of)
            label = f"stationary depth, {which}, up to {2 * most + 1} nodes"
            print(f"| {label} | {error:.3f} 2⁻⁵³ Σ\\|terms\\| | {place} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
