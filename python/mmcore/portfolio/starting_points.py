"""Where a path of the active set begins: at a corner, at another portfolio, at the highest return."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpstrf

from ..arrays import refusal
from .active_set import PIVOT, ActiveSet
from .holdings import Portfolio

Floats = NDArray[np.float64]


def independent(
    covariance: Floats, loose: NDArray[np.intp], budgeted: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Part assets without bounds into independent ones and those that depend on them.

    Each of these has a direction without risk, financed by the others: the rows that are returned last. Where
    it earns nothing it need not be taken: the dependent asset is idle. Cholesky's factor with pivots finds
    them.
    """
    block = covariance[np.ix_(loose, loose)]
    if budgeted:  # what changes the sum is no direction
        block = block + (float(covariance.diagonal().mean()) or 1.0)
    deviation = np.sqrt(np.maximum(block.diagonal(), 0.0))
    deviation[deviation == 0.0] = 1.0
    order, rank = np.arange(len(loose)), 0
    if len(loose):
        _, pivots, rank, _ = dpstrf(block / np.outer(deviation, deviation), tol=PIVOT)
        order = pivots.astype(np.intp) - 1
    kept, over = order[:rank], order[rank:]
    free, idle = loose[kept], loose[over]
    riskless = np.zeros((len(over), len(covariance)))
    riskless[np.arange(len(over)), idle] = 1.0
    riskless[:, free] = -np.linalg.solve(block[np.ix_(kept, kept)], block[np.ix_(kept, over)]).T
    return free, idle, riskless


def corner(work: ActiveSet, c: Floats, loose: NDArray[np.intp]) -> None:
    """Stand at a feasible point: what has no bounds is free, else one asset at most.

    Within a budget the wanted come first, as far as they may. ``loose`` are the independent assets without
    bounds.
    """
    low, high = work.nodes[0], work.nodes[-1]
    below, above = np.isfinite(low), np.isfinite(high)
    x = np.where(below, low, np.where(above, high, 0.0))
    at = np.where(below, 0, len(work.nodes) - 1)
    neither = ~(below | above)
    at[neither] = 1
    if len(work.nodes) == 3:
        # without a bound an asset stands at its holding, the node that its cost makes
        x[neither], free = work.nodes[1, neither], loose[:0]
    else:
        free = loose
    if work.budget is not None:
        if len(free):
            x[free[0]] = work.budget - x.sum()
        else:
            free = _fill(work, x, at, c)
    work.place(x, at, free)


def _fill(work: ActiveSet, x: Floats, at: NDArray[np.intp], c: Floats) -> NDArray[np.intp]:
    """Meet the budget from bounds and holdings, the wanted first; return the last, which is free."""
    assert work.budget is not None
    low, high = work.nodes[0], work.nodes[-1]
    order = np.argsort(-c, kind="stable")
    missing = work.budget - x.sum()
    last = int(order[0])
    if missing < 0.0:
        order = order[::-1]
    for j in order:
        if missing == 0.0:
            break
        room = (high[j] if missing > 0.0 else low[j]) - x[j]
        step = room if abs(room) <= abs(missing) else missing
        if step:
            x[j] += step
            last = int(j)
            if step == room:
                x[j] = high[j] if missing > 0.0 else low[j]
            missing = missing - step
    top = (x == high) & (high > low)
    at[top] = len(work.nodes) - 1
    at[last] = _segment(work, last, x[last])
    return np.array([last])


def _segment(work: ActiveSet, j: int, x: float) -> int:
    """A segment that holds x, of positive length where there is one."""
    nodes = work.nodes[:, j]
    return int(min(max((nodes <= x).sum(), 1), len(nodes) - 1))


def summit(work: ActiveSet, returns: Floats) -> float | None:
    """Stand at the highest return, and say from which risk tolerance on it is optimal.

    None where it is no corner, or where ties leave the choice to the covariance (a singular one ties
    whole faces at other tolerances).
    """
    low, high = work.nodes
    finite = np.isfinite(low).all() or np.isfinite(high).all()
    if work.budget is None or work.singular or not finite:
        return None
    corner(work, returns, work.free[:0])
    free = int(work.free[0])
    pull = work._drawn(work.x)
    # at the lower bound a multiplier must be >= 0, at the upper one <= 0
    sign = np.where(work.at == 0, 1.0, -1.0)
    fixed = low == high
    sign[fixed] = 0.0
    sign[free] = 0.0
    gain, more = sign * (returns[free] - returns), sign * (pull[free] - pull)
    earns = gain > 0.0
    if (gain < 0.0).any() or (more[~earns] > 0.0).any() or fixed[free]:
        return None
    top = float((more[earns] / gain[earns]).max(initial=0.0))
    # one whose bounds are equal is at the one that its multiplier's sign belongs to
    belongs = pull - pull[free] >= top * (returns - returns[free])
    work.at[fixed] = np.where(belongs, 0, len(work.nodes) - 1)[fixed]
    return top


def resume(work: ActiveSet, start: Portfolio) -> bool:
    """Take over another portfolio's holdings and active set where they are feasible here."""
    x = np.array(start.weights)
    if x.shape != (len(work.x),):
        raise refusal("start", f"a portfolio of {x.size}", f"one of {len(work.x)}")
    low, high = work.nodes[0], work.nodes[-1]
    if (x < low).any() or (x > high).any():
        return False
    if work.budget is not None and abs(x.sum() - work.budget) > 1e-12 * (1.0 + abs(work.budget)):
        return False
    return _stand(work, x)


def _stand(work: ActiveSet, x: Floats) -> bool:
    """Partition a feasible x by where it stands; say whether its free block is regular."""
    on = work.nodes == x
    node = on.any(axis=0)
    at = np.where(node, np.argmax(on, axis=0), (work.nodes < x).sum(axis=0)).astype(np.intp)
    free = np.flatnonzero(~node)
    if not len(free) and work.budget is not None:
        return False
    work.place(x, at, free)
    return work.regular()
