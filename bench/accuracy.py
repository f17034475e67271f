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
        4,
    ),
    Quantity(
        "fill_constant", "C = (1 + γ/k)^-(1 + k/γ)", (ANY, POSITIVE), lambda c, k: (_constant(c, k),), 4
    ),
    Quantity(
        "fill_value",
        "A C e^(-k s) / k",
        (ANY, POSITIVE, RATE, Range(TINY, HUGE, zero=True, signed=True)),
        lambda c, k, a, s: (a * _constant(c, k) * mpmath.exp(-k * s) / k,) if abs(k * s) < 600 else (mpf(0),),
        4,
    ),
    Quantity("skew_per_lot", "γ σ² τ", (POSITIVE, POSITIVE, POSITIVE), lambda g, s, t: (g * s**2 * t,), 4),
    Quantity(
        "closed_slope",
        "slope of the closed form",
        (POSITIVE, POSITIVE, POSITIVE, RATE),
        lambda g, s, k, a: (mpmath.sqrt(g * s**2 / (2 * a * _constant(g, k) * k)),),
        4,
    ),
    Quantity("widening", "widening w √age", (POSITIVE, POSITIVE), lambda w, age: (w * mpmath.sqrt(age),), 4),
    Quantity(
        "stoikov_depth",
        "depth, Avellaneda-Stoikov",
        (ANY, ANY, POSITIVE, ANY, Range(1.0, 1e6, zero=True, signed=True)),
        lambda g, s, k, t, q: (_share(g / k) / k, g * s**2 * t / 2, g * s**2 * t * q),
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


def _fluxes(gain: Any, rate: list[Any], factor: Any) -> list[Any]:
    """What leaves each node upwards, in units of the factor."""
    y: list[Any] = []
    for r in rate[:-1]:
        y.append((gain - r) / factor - (1 / y[-1] if y else 0))
    return y


def stationary_depths(models: int, seed: int) -> tuple[float, list[float]]:
    """Largest error of the exact model's stationary depths, in 2^-53 of its terms, and its parameters.

    The terms are the static half-spread and the difference of the value. The equation is solved again in
    60 digits, from both ends to the middle, by the secant method in the gain.
    """
    rng = np.random.default_rng(seed)
    worst, where = 0.0, [0.0]
    for _ in range(models):
        sigma, k, gamma = (
            float(np.exp(rng.uniform(*map(math.log, r)))) for r in ((0.01, 10), (0.01, 10), (1e-6, 1))
        )
        q_max = int(rng.integers(1, 31))
        model = mm.GueantLehalleFernandezTapia(sigma=sigma, A=0.9, k=k, gamma=gamma, q_max=q_max)
        with mp.workdps(DIGITS):
            half = _share(mpf(gamma) / mpf(k)) / mpf(k)
            factor = mpf(0.9) * _constant(mpf(gamma), mpf(k)) / mpf(k)
            rate = [-mpf(gamma) * mpf(sigma) ** 2 * q * q / 2 for q in range(-q_max, 1)]

            start = mpf(float(model.gain))
            gain = mpmath.findroot(
                lambda g, rate=rate, factor=factor: g - 2 * factor / _fluxes(g, rate, factor)[-1],
                (start, start * (1 + mpf(10) ** -14)),
                tol=mpf(10) ** -90,
                maxsteps=60,
            )
            x = [mpmath.log(y) / mpf(k) for y in _fluxes(gain, rate, factor)]
            for i, exact in enumerate(x):  # the bid of q = -q_max + i, and the ask of the node above it
                bid, ask = model.depths(i - q_max)[0], model.depths(i - q_max + 1)[1]
                size = 2.0**-53 * float(half + abs(exact))
                for got, sign in ((bid, -1), (ask, 1)):
                    error = float(abs(mpf(float(got)) - (half + sign * exact))) / size
                    if error > worst:
                        worst, where = error, [sigma, k, gamma, q_max, i - q_max]
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
    error, at = stationary_depths(10 if "--quick" in arguments else 1000, seed=1)
    print(
        f"| stationary depth, exact | {error:.3f} 2⁻⁵³ Σ\\|terms\\| | {', '.join(f'{x:.6g}' for x in at)} |"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
