r"""Discounted problems: one loop, and five ways to the next value.

Each pass computes Tv, bounds the true value with it (:mod:`mmcore.dp.certificate`) and stops when the bounds
are within the tolerance. What differs is where the next pass starts:

- **value iteration** from Tv, moved to the middle of the bounds (MacQueen's shift): the constant part of the
  error, which fades like discount^n, is gone at once, and what remains fades as fast as the chain mixes;
- **Gauss-Seidel** from Tv after some sweeps in place, which use new values at once: moved to the middle of
  the bounds before them while that brings the bounds together, then by what both bounds are sure of;
- **modified policy iteration** from Tv after some sweeps with the policy just found (Puterman and Shin 1978),
  where its rows are copied in single precision and over the correction of v;
- **policy iteration** from the value of that policy: exactly, by elimination in a band or by sparse LU, or
  inexactly, by stabilised bi-conjugate gradients or restarted GMRES, the less exactly the more of the policy
  has just changed (inexact policy iteration: solving more exactly for a policy that will change is wasted);
- **Anderson** from the combination of the last passes that leaves the least residual, taken only where the
  residual then falls by the discount or more, else from Tv (so that it converges as value iteration does).

Policy iteration and its modified form begin with passes that read the pairs that are likely to win, and go on
with such as read all that are not proven to lose: those alone bound (:class:`_Known`).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import daxpy

from ..arrays import whole
from ..bellman import Keys, Pairs, Rows, corrected, scaled, span
from ..errors import InvalidArgument, NoConvergence
from .checks import called_back, tolerance
from .solution import Solution

if TYPE_CHECKING:
    from .certificate import Contraction
    from .matrix_free import MatrixFree
    from .mdp import MDP

__all__ = ["solve"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METHODS = ("value_iteration", "gauss_seidel", "modified_policy_iteration", "policy_iteration", "anderson")
EVALUATORS = ("band", "sparse", "bicgstab", "gmres")
KEYED = ("modified_policy_iteration", "policy_iteration")  # keep a key for each pair
MEMORY = 5  # differences that Anderson combines
BAND = 60  # products of below and above, for each successor, up to which elimination pays
KEYED_SIZES = 1e-25, 1e36  # of the largest reward, and of values, for which float32 keys are kept
LIMIT = 1000  # products with the matrix
THREADS = 256  # most that share a pass
LARGEST_SHARE = 0.5  # of what a pass did, to which policies are valued
SAMPLE = 100  # states that tell what is likely of all
HURRIED = 20 * SAMPLE  # states from which it pays to ask them
SETTLED = 0.1  # share of states that change their pair, below which no pass is hurried
RESTART = 4  # products of a cycle of GMRES, which keeps one vector more
PATIENCE = 12  # sweeps ahead from which conjugate gradients are quicker
IN_PLACE = 4  # sweeps of Gauss-Seidel between two passes that bound the error


@dataclass
class Iterate:
    """Where a solve stands after a pass over the model."""

    model: MDP | MatrixFree
    pairs: Any  # Pairs, or what computes them anew
    passes: _Passes
    v: Floats  # where the pass was made
    tv: Floats  # what it gave
    policy: Ints
    low: float = 0.0  # range of tv - v
    high: float = 0.0
    below: float = 0.0  # bounds of the true value less tv
    above: float = 0.0
    changed: int = 0
    target: float = 0.0  # residual that the tolerance asks for
    rows: Rows | None = None  # of the policy
    known: _Known | None = None  # of the pairs


def solve(
    model: MDP | MatrixFree,
    *,
    method: str,
    tol: float,
    max_iterations: int | None,
    start: Floats | None,
    evaluator: str,
    layout: str,
    threads: int,
    progress: Callable[[int, float, float], object] | None,
) -> Solution:
    """Solve; see :meth:`mmcore.dp.MDP.solve`."""
    began = time.perf_counter()
    tol = tolerance(tol)
    contraction, pairs, n = model.contraction, model.pairs, model.n_states
    largest = float(model.discount.max())
    if not contraction.high < 1:
        if largest < 1:
            raise InvalidArgument(
                f"discount {largest!r} times the largest sum of a row, {contraction.sum_high!r} as rounding "
                f"may have it, must be below 1: values cannot be bounded otherwise",
                argument="discount",
                value=largest,
            )
        raise InvalidArgument(
            f"discount must be below 1 in every state for a discounted problem, got "
            f"{largest!r}: without it values may not be finite and cannot be bounded. "
            f"Use backward_induction for a finite horizon, or average_reward for the gain per step",
            argument="discount",
            value=largest,
        )
    method, evaluator, why = _choice(model, method, evaluator)
    if layout not in ("given", "packed"):
        raise InvalidArgument(argument="layout", value=layout, allowed='"given" or "packed"')
    called_back(progress)
    if max_iterations is None:
        max_iterations = 100 + math.ceil(64 * math.log(2) / -math.log(max(contraction.high, 1e-300)))
    else:
        whole("max_iterations", max_iterations, 1)
    sign = pairs.sign
    v = np.zeros(n) if start is None else sign * start
    passes = _Passes(pairs, threads)
    now = Iterate(model, pairs, passes, v, np.empty(n), np.full(n, -1, dtype=np.int64))
    if model.stored and method in KEYED:
        now.rows = Rows(n, model.extremes["successors"] if layout == "packed" else 0)
    size = 0.0 if start is None else max(map(abs, span(v)))
    # What a pair lacks is kept as a float32: the noise, which counts with rewards, pays for its rounding.
    reward = model.extremes["reward"]
    highest = size + reward / (1 - contraction.high)
    fits = KEYED_SIZES[0] < reward and highest < KEYED_SIZES[1]
    if method in KEYED and isinstance(pairs, Pairs) and fits:
        now.known = _Known(pairs, contraction, hurry=start is None and n >= HURRIED)
    known = now.known
    step = _stepper(method, evaluator, now)
    proven = sys.float_info.max  # what is not feasible lacks more
    if known is not None:
        known.at(v, span(v)[1])
    best, stalled, iteration = math.inf, 0, 0
    while True:
        hurried = known is not None and known.hurried
        zero = iteration == 0 and start is None
        now.low, now.high, now.changed, living, _ = passes.improve(
            None if zero else now.v,
            now.tv,
            now.policy,
            proven,
            now.rows,
            known.keys if known is not None else None,
        )
        iteration += 1
        now.below, now.above, rounding = contraction.bounds(now.low, now.high, size)
        half = (now.above - now.below) / 2
        if not math.isfinite(half):
            raise NoConvergence(
                "values left the range of floating point: rewards or the start are too large, or rows of "
                "unequal sums make the method diverge where the discount is close to 1"
            )
        noise = 3 * contraction.rounding(size)
        now.target = max(tol * (1 - contraction.high), noise / 24)  # less is not to be had
        if not hurried:
            residual, gap = max(abs(now.low), abs(now.high)), 2 * half
        if progress is not None:
            progress(iteration, residual, gap)
        if not hurried:
            stalled = 0 if half < 0.9 * best else stalled + 1
            best = min(best, half)
            if half + 4 * math.ulp(size) <= tol:
                reason = "tolerance"
                break
            stuck = stalled >= 30 and half <= 8 * rounding and tol <= 2 * rounding
            if half - rounding <= rounding / 2 or stuck:
                reason = "rounding"
                break
            if iteration >= max_iterations:
                reason = "iterations"
                break
        iteration += step(now)  # now.tv is the next now.v
        low, high = span(now.tv, now.v)
        if known is None:
            proven = contraction.closing(now.below + now.low - high, now.above + now.high - low) + noise
        else:
            known.moved(now, contraction.closing(low, high) + noise, iteration + 1 >= max_iterations)
        now.v, now.tv = now.tv, now.v
        low, high = span(now.v)
        size = max(abs(low), abs(high))
        if known is not None:
            known.at(now.v, high)
    value = now.tv
    if known is not None:
        wide = contraction.closing(now.below + now.low, now.above + now.high)
        living = known.keys.alive(value, now.policy, wide + noise)
    del step, now.v, now.tv, now.rows, now.known, known  # room for the bounds
    middle = (now.below + now.above) / 2
    lower, upper = value + now.below, value + now.above
    value += middle
    if sign < 0:
        lower, upper = -upper, -lower
        np.negative(value, out=value)
    return Solution(
        value=value,
        policy=model.actions_of(now.policy),
        lower=lower,
        upper=upper,
        gap=float((upper - lower).max()),
        iterations=iteration,
        residual=residual,
        alive=(int(living), int(living) == n),
        stop_reason=reason,
        elapsed=time.perf_counter() - began,
        method=method if method != "policy_iteration" else f"policy_iteration ({evaluator})",
        why=why,
    )


class _Known:
    """What is known of the pairs, or likely while passes are hurried.

    While many states change their pair, v is about to move far, and so little can be proven of the pairs that
    a pass reads most of them, for a policy that will not last. A hurried pass supposes that no pair gains
    more than some do in a sample of the states, nor is followed by more. It may miss the best pair, and
    bounds nothing: all it does is to bring the passes that follow, which are proven, nearer to the solution.

    Of the keys that it leaves behind, those of pairs hold in proofs as well: it reads what a pair lacks as
    any pass does, and adds less drift than it might, so that the pair is read again the sooner.
    """

    def __init__(self, pairs: Pairs, contraction: Contraction, hurry: bool) -> None:
        self.pairs, self.contraction = pairs, contraction
        self.keys = Keys(pairs)
        self.hurry = hurry  # there may be hurried passes to come
        self.hurried = False  # the next is one
        self.drift = 0.0  # that is proven
        self.changed = math.inf

    def moved(self, now: Iterate, closing: float, last: bool) -> None:
        """Take note of a pass and of the step to ``now.tv``; `last`: the next is the last, which bounds.

        A hurried pass has to pay by the policy's settling: once one leaves few states that change, or has not
        halved how many do, guesses are likely to go on missing pairs, and proof takes over for good.
        """
        settled = now.changed <= SETTLED * now.v.size or now.changed > self.changed / 2
        self.hurried = self.hurry and not settled and not last
        if self.hurry and not self.hurried:
            self.keys.reopen()
        self.hurry, self.changed = self.hurried, now.changed
        self.drift += closing
        if self.hurried:
            self.keys.drift += min(closing, self.pairs.sample(SAMPLE, now.tv, now.v)[1])
        else:
            self.keys.drift = self.drift

    def at(self, v: Floats, high: float) -> None:
        """Bound what is expected after the pairs with values v, none of which exceeds `high`."""
        self.keys.most, self.keys.gain = self.contraction.expected(high), math.inf
        if self.hurried:
            self.keys.most, self.keys.gain = self.pairs.sample(SAMPLE, v)


class _Passes:
    """Passes over the model, shared by threads; each state is computed the same way whoever does it."""

    def __init__(self, pairs: Any, threads: int) -> None:
        if whole("threads", threads, 1) > THREADS:
            raise InvalidArgument(argument="threads", value=threads, allowed=f"at most {THREADS}")
        self.pairs = pairs
        n, parts = pairs.n_states, min(threads, pairs.n_states)
        self.ranges = [(n * i // parts, n * (i + 1) // parts) for i in range(parts)]
        self.pool = ThreadPoolExecutor(parts - 1) if parts > 1 else None

    def _shared(self, run: Callable[..., Any]) -> list[Any]:
        """What ``run(begin, end)`` returns for each range; without arguments where there is only one."""
        if self.pool is None:
            return [run()]
        jobs = [self.pool.submit(run, begin, end) for begin, end in self.ranges[1:]]
        return [run(*self.ranges[0]), *(job.result() for job in jobs)]

    def improve(
        self,
        v: Floats | None,
        out: Floats,
        policy: Ints,
        proven: float,
        rows: Rows | None,
        keys: Keys | None,
    ) -> tuple[float, float, int, int, int]:
        """Improve, as :meth:`Pairs.improve`, on all threads."""

        def run(*part: int) -> tuple[float, float, int, int, int]:
            found: tuple[float, float, int, int, int] = self.pairs.improve(
                v, out, policy, proven, *part, rows=rows, keys=keys
            )
            return found

        low, high, changed, living, read = zip(*self._shared(run), strict=True)
        return min(low), max(high), sum(changed), sum(living), sum(read)

    def evaluate(self, v: Floats, out: Floats, rows: Rows | None) -> tuple[float, float]:
        """Evaluate, as :meth:`Pairs.evaluate`, on all threads."""
        low, high = zip(*self._shared(lambda *part: self.pairs.evaluate(v, out, rows, *part)), strict=True)
        return min(low), max(high)

    def correct(self, residual: Any, x: Any, out: Any, rows: Rows) -> tuple[float, float]:
        """Correct, as :meth:`Pairs.correct`, on all threads."""
        low, high = zip(
            *self._shared(lambda *part: self.pairs.correct(residual, x, out, rows, *part)), strict=True
        )
        return min(low), max(high)


def _choice(model: MDP | MatrixFree, method: str, evaluator: str) -> tuple[str, str, str]:
    """Method, evaluator, and why."""
    if method != "auto" and method not in METHODS:
        raise InvalidArgument(argument="method", value=method, allowed=f"auto or one of {', '.join(METHODS)}")
    if evaluator != "auto" and evaluator not in EVALUATORS:
        raise InvalidArgument(
            argument="evaluator", value=evaluator, allowed=f"auto or one of {', '.join(EVALUATORS)}"
        )
    if not model.stored and evaluator in ("band", "sparse"):
        raise InvalidArgument(
            argument="evaluator", value=evaluator, allowed="bicgstab or gmres where there is no table"
        )
    if evaluator != "auto" and method not in ("auto", "policy_iteration"):
        raise InvalidArgument(
            f"evaluator is for method='policy_iteration', not for {method!r}",
            argument="evaluator",
            value=evaluator,
        )
    found = model.extremes
    below, above = found["below"], found["above"]
    if method == "auto" and evaluator == "auto" and model.contraction.high <= 0.5:
        return (
            "value_iteration",
            "",
            f"each pass halves the error or more (discount {model.contraction.high:g})",
        )
    if method not in ("auto", "policy_iteration"):
        return method, "", "asked for"
    asked = "asked for; " if method != "auto" else ""
    if evaluator != "auto":
        return "policy_iteration", evaluator, f"{asked}evaluator asked for"
    if model.stored and below <= 1 and above <= 1:
        return (
            "policy_iteration",
            "band",
            f"{asked}successors are neighbours: a policy's value is one tri-diagonal elimination (Thomas)",
        )
    # Elimination in the band against some tens of products with the matrix.
    if model.stored and below * above <= BAND * found["successors"]:
        return (
            "policy_iteration",
            "band",
            f"{asked}successors lie within {below} states below, {above} above: a policy is one elimination",
        )
    reason = (
        f"{asked}successors are scattered: policies are valued by iteration, no more exactly than they "
        f"change; by sweeps while they mix fast, else by conjugate gradients"
    )
    return "policy_iteration", "bicgstab", reason


def _stepper(method: str, evaluator: str, now: Iterate) -> Callable[[Iterate], int]:
    """Return what writes the start of the next pass to ``now.tv`` and returns the passes it made itself."""
    if method == "value_iteration":
        return _shift
    if method == "gauss_seidel":
        return _InPlace()
    if method == "modified_policy_iteration":
        return _Sweeps(now)
    if method == "anderson":
        return _Anderson()
    if evaluator in ("bicgstab", "gmres"):
        return _Krylov(now, evaluator)
    return _band if evaluator == "band" else _sparse


def _shift(now: Iterate) -> int:
    now.tv += now.model.contraction.shift(now.low, now.high)
    return 0


class _InPlace:
    """Gauss-Seidel: sweeps in place, from the middle of the bounds for as long as that brings them together.

    Such sweeps do not keep the constant part of an error constant, and may not make good what the middle is
    off. Once the residual's range has not shrunk by the discount, v moves by what both bounds are sure of,
    which no error grows by.
    """

    def __init__(self) -> None:
        self.range = math.inf

    def __call__(self, now: Iterate) -> int:
        contraction = now.model.contraction
        if now.high - now.low <= contraction.high * self.range:
            self.range = now.high - now.low
            now.tv += contraction.shift(now.low, now.high)
        else:
            self.range = 0.0
            now.tv += contraction.certain_shift(now.low, now.high)
        for _ in range(IN_PLACE):
            now.pairs.improve(now.tv, now.tv, now.policy)
        return IN_PLACE


def _goal(now: Iterate) -> float:
    """To what span of the residual to value the policy: more exactly than it will change is wasted."""
    return max((now.high - now.low) * min(LARGEST_SHARE, math.sqrt(now.changed / now.tv.size)), now.target)


class _Sweeps:
    """Sweeps with the policy, to the goal."""

    def __init__(self, now: Iterate) -> None:
        copied = now.rows is not None and now.rows.copied
        n = now.tv.size
        self.way: _Corrections | _Values = _Corrections(n) if copied else _Values(n)

    def __call__(self, now: Iterate) -> int:
        self.until(_goal(now), now, math.inf)
        return 0

    def until(self, goal: float, now: Iterate, patience: float) -> bool:
        """Sweep until the change spans at most `goal`; False where that seems farther than `patience`."""
        goal = max(goal, self.way.begin(now))
        before = now.high - now.low
        near = True
        for done in range(100):
            low, high = self.way.sweep(now)
            change = high - low
            if change <= goal:
                break
            rate = change / before if before > 0 else 0.0
            near = not done or (
                rate < 1 and math.log(goal / change) >= patience * math.log(max(rate, 1e-300))
            )
            if not near:
                break
            before = change
        self.way.end(now)
        if near:
            now.tv += now.model.contraction.shift(low, high)
        return near


class _Values:
    """Sweeps over the values themselves."""

    def __init__(self, n: int) -> None:
        self.spare = np.empty(n)

    def begin(self, now: Iterate) -> float:
        """Start at Tv; the least change worth waiting for."""
        return 0.0

    def sweep(self, now: Iterate) -> tuple[float, float]:
        """Make one; the range of the change."""
        found = now.passes.evaluate(now.tv, self.spare, now.rows)
        now.tv, self.spare = self.spare, now.tv
        return found

    def end(self, now: Iterate) -> None:
        """Have the values in ``now.tv``, where they are."""


class _Corrections:
    """Sweeps over what is to be added to v, in single precision: half the bytes, and half of the cache.

    From x = Tv - v, x <- Tv - v + discount P x adds up what sweeps from v would change. Rounding does no
    harm, as the next pass over the model sees whatever is left. All is scaled by a power of two, so that
    Tv - v is about 1 in the largest component.
    """

    FINEST = 2.0**-19  # of the residual: some 30 roundings

    def __init__(self, n: int) -> None:
        self.residual, self.x, self.spare = np.empty((3, n), dtype=np.float32)
        self.scale = 1.0

    def begin(self, now: Iterate) -> float:
        """Start at Tv; the least change worth waiting for."""
        self.scale = math.ldexp(1.0, -math.frexp(max(abs(now.low), abs(now.high)))[1])
        scaled(now.tv, now.v, self.scale, self.residual)
        self.x[:] = self.residual
        return self.FINEST / self.scale

    def sweep(self, now: Iterate) -> tuple[float, float]:
        """Make one; the range of the change."""
        assert now.rows is not None
        low, high = now.passes.correct(self.residual, self.x, self.spare, now.rows)
        self.x, self.spare = self.spare, self.x
        return low / self.scale, high / self.scale

    def end(self, now: Iterate) -> None:
        """Add the correction."""
        corrected(now.v, self.x, self.scale, now.tv)


class _Krylov:
    """Sweeps while they mix fast, else a Krylov method; sweeps again where that breaks down.

    To the goal of sweeps, and to a tenth of it whenever passes come no closer: where the discount is close to
    one, policies valued so roughly may follow each other in a circle, and ones valued exactly do not.
    """

    def __init__(self, now: Iterate, evaluator: str) -> None:
        self.sweeps: _Sweeps | None = _Sweeps(now)
        self.evaluator = evaluator
        self.work: Floats | None = None
        self.share, self.best = 1.0, math.inf

    def __call__(self, now: Iterate) -> int:
        width = now.high - now.low
        if width >= self.best:
            self.share /= 10
        self.best = min(self.best, width)
        goal = max(self.share * _goal(now), now.target)
        if self.work is None:
            if self.sweeps is not None and self.sweeps.until(goal, now, PATIENCE):
                return 0
            self.sweeps = None  # its vector is wanted
            n = now.tv.size
            self.work = np.empty(5 * n if self.evaluator == "bicgstab" else (RESTART + 1) * (n + RESTART + 3))
        else:
            _shift(now)
        improved = getattr(now.pairs, self.evaluator)
        _, _, residual = improved(now.rows, goal / 2, LIMIT, now.tv, self.work)
        if not residual <= max(self.share * LARGEST_SHARE * width, goal):
            # what the breakdown spoilt
            keys = now.known.keys if now.known is not None else None
            now.pairs.improve(now.v, now.tv, now.policy, rows=now.rows, keys=keys)
            _Sweeps(now)(now)
        return 0


def _band(now: Iterate) -> int:
    found = now.model.extremes
    if now.pairs.band(now.rows, found["below"], found["above"], now.tv):
        raise NoConvergence("elimination met a pivot that is not positive: the discount is too close to 1")
    return 0


def _sparse(now: Iterate) -> int:
    from scipy import sparse
    from scipy.sparse.linalg import splu

    _, row, column, probability, reward, discount = now.pairs.arrays
    n = now.pairs.n_states
    whole = sparse.csr_array((probability, column, row), shape=(now.pairs.n_pairs, n), copy=False)
    chosen = sparse.eye_array(n) - whole[now.policy].multiply(np.broadcast_to(discount, n)[:, None])
    now.tv[:] = splu(sparse.csc_array(chosen)).solve(now.pairs.sign * reward[now.policy])
    return 0


class _Anderson:
    """Type-II Anderson acceleration (Walker and Ni 2011), safeguarded."""

    def __init__(self) -> None:
        self.values: list[Floats] = []  # differences of Tv
        self.residuals: list[Floats] = []  # differences of Tv - v
        self.image: Floats | None = None  # Tv and Tv - v of the last pass that was accepted
        self.residual: Floats | None = None
        self.size = math.inf

    def __call__(self, now: Iterate) -> int:
        size = max(abs(now.low), abs(now.high))
        if self.image is not None and self.values and not size <= now.model.contraction.high * self.size:
            now.tv[:] = self.image  # a plain step from the last one accepted
            self.values, self.residuals, self.image = [], [], None
            return 0
        self.size = size
        del self.values[: 1 - MEMORY], self.residuals[: 1 - MEMORY]
        residual = now.tv - now.v
        image = now.tv.copy()
        if self.image is not None and self.residual is not None:
            np.subtract(image, self.image, out=self.image)
            np.subtract(residual, self.residual, out=self.residual)
            self.values.append(self.image)
            self.residuals.append(self.residual)
            f = self.residuals
            with np.errstate(over="ignore", invalid="ignore"):
                gram = np.array([[float(a @ b) for b in f] for a in f])
                right = np.array([float(a @ residual) for a in f])
            weights = np.zeros(len(f))
            if np.isfinite(gram).all() and np.isfinite(right).all():
                weights = np.linalg.lstsq(gram, right, rcond=1e-14)[0]
            for weight, value in zip(weights, self.values, strict=True):
                daxpy(value, now.tv, a=-weight)  # in place, without a temporary
        self.image, self.residual = image, residual
        return 0
