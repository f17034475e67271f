"""Market making against peers: backward induction, policy iteration, continuous time, many policies.

The problems are those of bench_cases.json. Where there is the environment of the peers (``make peers``),
everything is timed there, in one process, in turn; else our own rows are shown alone. Times are CPU
seconds; a peer's ratio is its time over ours in the same round, the median over rounds. Its goal is the
ratio wanted.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from mmcore.lattice import Lattice, fill_constant, stationary_policies
from mmcore.market_making import InventoryChain

from .harness import SMALL, Row, beside, give

DEPTH = 0.01 * np.arange(1, 31)
CHANCE = 0.4 * np.exp(-10 * DEPTH)
WIDE, NARROW = (50, 5) if SMALL else (500, 50)
PENALTY = {5: 2e-3, 50: 2e-5, 500: 2e-7}
STEPS = 20 if SMALL else 1000
POLICIES = 100 if SMALL else 10_000


def timed(cases: dict[str, tuple[Callable[[], Any], int]], rounds: int, goals: dict[str, float]) -> list[Row]:
    """Time cases in turn, the first being ours; each is (function, times it is called in a round)."""
    seen: dict[str, list[float]] = {name: [] for name in cases}
    for function, _ in cases.values():
        function()
    if SMALL:
        cases, rounds = {name: (function, 1) for name, (function, _) in cases.items()}, 1
    for _ in range(rounds):
        for name, (function, times) in cases.items():
            start = time.process_time_ns()
            for _ in range(times):
                function()
            seen[name].append((time.process_time_ns() - start) / times)
    ours = next(iter(seen.values()))
    rows = []
    for name, each in seen.items():
        ratios = sorted(t / o for t, o in zip(each, ours, strict=True))
        row = Row(name, statistics.median(each), goal=goals.get(name), faster=True)
        row.ratio, row.ratio_low, row.ratio_high = (
            statistics.median(ratios),
            ratios[len(ratios) // 4],
            ratios[3 * len(ratios) // 4],
        )
        rows.append(row)
    return rows


def problem(q_max: int, discount: float) -> InventoryChain:
    """Return the tick problem of bench_cases.json."""
    q = np.arange(-q_max, q_max + 1.0)
    return InventoryChain(-PENALTY[q_max] * q * q, (CHANCE, DEPTH), (CHANCE, DEPTH), discount=discount)


def quantecon_problem(q_max: int, discount: float) -> Any:
    """Return the same as quantecon's state-action pairs."""
    from quantecon.markov import DiscreteDP
    from scipy.sparse import coo_matrix

    n, m = 2 * q_max + 1, DEPTH.size
    state, bid, ask = (
        x.ravel() for x in np.meshgrid(np.arange(n), np.arange(m), np.arange(m), indexing="ij")
    )
    kept = ((state < n - 1) | (bid == 0)) & ((state > 0) | (ask == 0))
    state, bid, ask = state[kept], bid[kept], ask[kept]
    up = np.where(state < n - 1, CHANCE[bid], 0.0)
    down = np.where(state > 0, CHANCE[ask], 0.0)
    reward = up * DEPTH[bid] + down * DEPTH[ask] - PENALTY[q_max] * (state - q_max) ** 2.0
    row = np.arange(state.size)
    columns = np.concatenate([np.minimum(state + 1, n - 1), np.maximum(state - 1, 0), state])
    chain = coo_matrix((np.concatenate([up, down, 1 - up - down]), (np.tile(row, 3), columns)), (row.size, n))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return DiscreteDP(reward, chain.tocsr(), discount, state, bid * m + ask)


def finite(q_max: int, peers: bool) -> list[Row]:
    """Backward induction, 1,000 steps, values and both policies of every step."""
    chain, n = problem(q_max, 1.0), 2 * q_max + 1
    values = np.empty((STEPS + 1, n))
    bid, ask = np.empty((STEPS, n), np.int8), np.empty((STEPS, n), np.int8)
    times = 200 if q_max == NARROW else 20
    cases: dict[str, tuple[Callable[[], Any], int]] = {
        "into the caller's arrays": (
            lambda: chain.backward(STEPS, values=values, bid=bid, ask=ask),
            times,
        ),
        "into new arrays": (lambda: chain.backward(STEPS), times),
    }
    goals = {}
    if peers:
        from quantecon.markov import backward_induction

        ddp = quantecon_problem(q_max, 1.0)
        cases["quantecon backward_induction"] = (lambda: backward_induction(ddp, STEPS), 1)
        goals["quantecon backward_induction"] = 1000.0
        chain.backward(STEPS, values=values, bid=bid, ask=ask)
        assert np.allclose(backward_induction(ddp, STEPS)[0], values, rtol=0, atol=1e-10)
    rows = timed(cases, 5, goals)
    rows[0].note = f"{rows[0].ns / STEPS / n:.2f} ns a state and step"
    return rows


def infinite(q_max: int, peers: bool) -> list[Row]:
    """Discount 0.999, true error at most 1e-6."""
    chain = problem(q_max, 0.999)
    cases: dict[str, tuple[Callable[[], Any], int]] = {"policy iteration, Thomas": (chain.stationary, 200)}
    goals = {}
    if peers:
        ddp = quantecon_problem(q_max, 0.999)
        name = "quantecon policy iteration"
        cases[name] = (lambda: ddp.solve(method="policy_iteration", epsilon=1e-6), 3)
        goals[name] = 500.0
        assert np.allclose(ddp.solve(method="policy_iteration").v, chain.stationary()[0], rtol=0, atol=1e-6)
    return timed(cases, 7, goals)


def exact(lattice: Lattice, span: float) -> Any:
    """Return differences in 50 digits, by a series of positive terms in plain numbers of mpmath."""
    import mpmath as mp

    with mp.workdps(50):
        n, k = len(lattice), mp.mpf(lattice.k_bid)
        rate = np.array([k * mp.mpf(float(r)) for r in lattice.rate], dtype=object)
        up, down = k * mp.mpf(lattice.up), k * mp.mpf(lattice.down)
        s = max(-rate)
        term = np.array([mp.mpf(1)] * n, dtype=object)
        total, j = term.copy(), 0
        while True:
            j += 1
            after = (s + rate) * term
            after[:-1] += up * term[1:]
            after[1:] += down * term[:-1]
            term = after * (mp.mpf(span) / j)
            total = total + term
            if j > 1.3 * s * span and max(term / total) < mp.mpf(10) ** -40:
                break
        return np.array([float(mp.log(total[i + 1] / total[i]) / k) for i in range(n - 1)])


def continuous() -> list[Row]:
    """Exact model, one output time; the notes give the error of the quotes."""
    from scipy.linalg import expm
    from scipy.sparse import diags
    from scipy.sparse.linalg import expm_multiply

    sigma, A, k, gamma, q_max, span = 0.3, 0.9, 0.3, 0.01, WIDE, 20.0
    q = np.arange(-q_max, q_max + 1.0)
    factor = A * fill_constant(gamma, k) / k
    lattice = Lattice(-gamma * sigma**2 / 2 * q * q, up=factor, down=factor, k_bid=k, k_ask=k)
    # k a hair apart: there is no series, so evolve takes the implicit method
    apart = Lattice(lattice.rate, up=factor, down=factor, k_bid=k, k_ask=np.nextafter(k, 1.0))
    matrix = diags(
        [np.full(q.size - 1, k * factor), k * np.asarray(lattice.rate), np.full(q.size - 1, k * factor)],
        [-1, 0, 1],
        format="csr",
    )
    dense, start, ones = matrix.toarray() * span, np.zeros(q.size - 1), np.ones(q.size)
    found = {
        "uniformisation": lambda: lattice.uniformise(start, span)[0],
        "mm_lattice_advance": lambda: apart.evolve(start, [span])[0][0],
        "scipy expm_multiply": lambda: np.diff(np.log(expm_multiply(matrix * span, ones))) / k,
        "scipy expm": lambda: np.diff(np.log(expm(dense) @ ones)) / k,
    }
    times = {"uniformisation": 20, "mm_lattice_advance": 2, "scipy expm_multiply": 1, "scipy expm": 1}
    goals = {"scipy expm_multiply": 50.0, "scipy expm": 500.0}
    rows = timed({name: (function, times[name]) for name, function in found.items()}, 5, goals)
    static = np.log1p(gamma / k) / gamma
    try:
        wanted = static - exact(lattice, span)
    except ModuleNotFoundError:
        return rows
    for row in rows:
        with np.errstate(all="ignore"):
            error = np.abs((static - found[row.name]()) / wanted - 1).max()
        row.note = f"relative error of the quotes {error:.1e}"
    return rows


def policies() -> list[Row]:
    """Many stationary policies, each with its residual; a peer does a hundredth of them by expm."""
    from scipy.linalg import expm

    rng = np.random.default_rng(0)
    draws = np.array([10.0 ** rng.uniform([-1, -1, -1.5, -4], [1, 1, 0.5, -1]) for _ in range(POLICIES)])
    sigma, A, k, gamma = (np.ascontiguousarray(column) for column in draws.T)
    bid, ask = np.empty((POLICIES, 101)), np.empty((POLICIES, 101))
    q2 = np.arange(-50, 51.0) ** 2

    def ours() -> Any:
        return stationary_policies(sigma=sigma, A=A, k=k, gamma=gamma, q_max=50, bid=bid, ask=ask)

    def peer() -> None:
        for s, a, decay, g in draws[: POLICIES // 100]:
            eta = a * fill_constant(g, decay)
            side = np.full(100, eta)
            matrix = np.diag(-decay * g * s * s / 2 * q2) + np.diag(side, 1) + np.diag(side, -1)
            expm(matrix * 10.0)

    rows = timed(
        {f"stationary_policies, {POLICIES:,}": (ours, 1), f"scipy expm, {POLICIES // 100:,}": (peer, 1)},
        5,
        {},
    )
    rows[0].limit, rows[0].note = 50e6, f"worst residual {ours()[3].max():.1e}"
    return rows


def here() -> dict[str, list[Row]]:
    """Time everything in this process."""
    peers = importlib.util.find_spec("quantecon") is not None
    tables = {}
    for q_max in (WIDE, NARROW):
        tables[f"finite horizon, Q = {q_max}, {STEPS} steps, 30 x 30 ticks"] = finite(q_max, peers)
        tables[f"for ever, Q = {q_max}, discount 0.999"] = infinite(q_max, peers)
    tables[f"exact model, Q = {WIDE}, T = 20"] = continuous()
    tables["stationary policies, Q = 50"] = policies()
    return tables


def rows() -> dict[str, list[Row]]:
    """Titled tables, from the environment of the peers where there is one."""
    return beside("programs", "bench.bench_market_making") or here()


if __name__ == "__main__":
    give(here())
