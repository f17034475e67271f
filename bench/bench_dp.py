"""Random sparse models (Garnet) against quantecon's modified policy iteration, interleaved, in CPU time.

quantecon lives in an environment of its own (``make peers``), in a process of its own. Both solve to the same
true error. Beside the times: bytes that a full pass over the model moves a second, against a triad of NumPy
in the same run; memory beyond the caller's arrays; last, in wall time, what a second thread brings to the
largest case, and to the triad.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

import mmcore as mm

from .harness import SMALL, Row, triad

PEER = Path("build/peers/programs")
ERROR, DISCOUNT, ACTIONS, SUCCESSORS = 1e-6, 0.99, 10, 10
CASES = {  # states, how far they reach, rounds
    "S = 10^4, uniform": (10_000, None, 15),
    "S = 10^4, within 20": (10_000, 20, 9),
    "S = 2 10^5": (200_000, None, 3),
}
if SMALL:
    CASES = {name: (n // 100, local, 1) for name, (n, local, _) in CASES.items()}
WAYS: dict[str, dict[str, Any]] = {
    "auto": {},
    "auto, packed": {"layout": "packed"},
    "modified policy iteration": {"method": "modified_policy_iteration"},
}
GOALS = {"S = 10^4, uniform": 5.0, "S = 10^4, within 20": 10.0, "S = 2 10^5": 5.0}


def garnet(n_states: int, local: int | None) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Return rewards (S, A) and transitions (S * A, S) of the generator that all rows share."""
    rng = np.random.default_rng(0)
    n = n_states * ACTIONS
    state = np.repeat(np.arange(n_states), ACTIONS)

    def draw(rows: np.ndarray) -> np.ndarray:
        if local is None:
            return rng.integers(0, n_states, rows.shape)
        return np.clip(state[rows] + rng.integers(-local, local + 1, rows.shape), 0, n_states - 1)

    column = np.sort(draw(np.repeat(np.arange(n)[:, None], SUCCESSORS, axis=1)), axis=1)
    while True:
        twice = np.zeros(column.shape, dtype=bool)
        twice[:, 1:] = column[:, 1:] == column[:, :-1]
        rows, places = np.nonzero(twice)
        if not rows.size:
            break
        column[rows, places] = draw(rows)
        column[rows] = np.sort(column[rows], axis=1)
    cuts = np.sort(rng.random((n, SUCCESSORS - 1)), axis=1)
    ends = np.zeros((n, 1)), np.ones((n, 1))
    probability = np.diff(np.concatenate([ends[0], cuts, ends[1]], axis=1), axis=1)
    rewards = rng.random(n).reshape(n_states, ACTIONS)
    pointers = np.arange(0, n * SUCCESSORS + 1, SUCCESSORS, dtype=np.int32)
    return rewards, sparse.csr_matrix(
        (probability.ravel(), column.ravel().astype(np.int32), pointers), shape=(n, n_states)
    )


WORKER = """
import json, resource, sys, time
import numpy as np
from scipy import sparse
from quantecon.markov import DiscreteDP

models = {}
for line in sys.stdin:
    name, path = json.loads(line)
    if name not in models:
        with np.load(path) as file:
            r, n = file["rewards"], len(file["rewards"])
            q = sparse.csr_matrix((file["data"], file["indices"], file["indptr"]), shape=(r.size, n))
        s, a = np.repeat(np.arange(n), r.shape[1]), np.tile(np.arange(r.shape[1]), n)
        models[name] = DiscreteDP(r.ravel(), q, %(discount)r, s, a)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        models[name].solve("modified_policy_iteration", epsilon=2 * %(error)r)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(json.dumps(grown), flush=True)
        continue
    start = time.process_time()
    result = models[name].solve("modified_policy_iteration", epsilon=2 * %(error)r)
    took = time.process_time() - start
    print(json.dumps([took, result.v[:100].tolist()]), flush=True)
"""


class Peer:
    """quantecon in a process of its own that answers one line with one line."""

    def __init__(self) -> None:
        script = WORKER % {"discount": DISCOUNT, "error": ERROR}
        self.process = subprocess.Popen(
            [PEER / "bin/python", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, name: str, path: Path) -> Any:
        """Solve once; the first time for the memory it takes."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([name, str(path)]), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def peer() -> Peer | None:
    """Return quantecon; None where its environment was not made, or all is just to be shown to run."""
    if SMALL or not (PEER / "bin/python").exists():
        print(f"no environment {PEER} (make peers): our own rows alone")
        return None
    return Peer()


def two_threads(name: str, model: mm.dp.MDP) -> list[Row]:
    """Return the wall time of one thread and of two, the best of many, interleaved."""
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(1 if SMALL else 10):
        for threads, seen in times.items():
            start = time.perf_counter()
            model.solve(tol=ERROR, layout="packed", threads=threads)
            seen.append(time.perf_counter() - start)
    one, two = min(times[1]), min(times[2])
    brought = triad(2, time.perf_counter) / triad(1, time.perf_counter)
    return [
        Row(f"{name}: one thread, wall", 1e9 * one, 1.0),
        Row(f"{name}: two threads, wall", 1e9 * two, one / two, note=f"a triad: {brought:.2f}"),
    ]


def pass_bandwidth(model: mm.dp.MDP) -> float:
    """Bytes a second of a pass that reads all pairs."""
    _, row, column, probability, reward, _ = model.pairs.arrays
    v, out = np.zeros(model.n_states), np.empty(model.n_states)
    policy = np.full(model.n_states, -1)
    times = []
    for _ in range(5):
        start = time.process_time()
        model.pairs.improve(v, out, policy)
        times.append(time.process_time() - start)
    return float(sum(x.nbytes for x in (row, column, probability, reward))) / min(times)


def vectors(model: mm.dp.MDP, options: dict[str, Any]) -> float:
    """Vectors of S doubles that a solve needs beyond its four results, at the peak."""
    model.solve(tol=ERROR, **options)
    tracemalloc.start()
    solution = model.solve(tol=ERROR, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    results = sum(x.nbytes for x in (solution.value, solution.policy, solution.lower, solution.upper))
    return (peak - results) / (8 * model.n_states)


def rows() -> dict[str, list[Row]]:
    """Return the tables of this benchmark."""
    other = peer()
    bandwidth = triad()
    table = []
    for name, (n_states, local, rounds) in CASES.items():
        rewards, transitions = garnet(n_states, local)
        model = mm.dp.MDP(rewards, transitions, DISCOUNT)
        path = Path(f"build/bench/garnet_{n_states}_{local}.npz").absolute()
        grown = 0
        if other:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(
                path,
                rewards=rewards,
                data=transitions.data,
                indices=transitions.indices,
                indptr=transitions.indptr,
            )
            grown = other.ask(name, path)
        times: dict[str, list[float]] = {name: [] for name in ("quantecon", *WAYS)}
        value = None
        for _ in range(rounds):
            for method, options in WAYS.items():
                start = time.process_time()
                solution = model.solve(tol=ERROR, **options)
                times[method].append(time.process_time() - start)
                assert solution.stop_reason == "tolerance"
            if other:
                took, value = other.ask(name, path)
                times["quantecon"].append(took)
        if value is not None:
            assert np.abs(solution.value[:100] - value).max() <= 2 * ERROR
            table.append(
                Row(
                    f"{name}: quantecon",
                    1e9 * statistics.median(times["quantecon"]),
                    1.0,
                    note=f"+{grown / 1e3:.0f} MB",
                )
            )
        share = pass_bandwidth(model) / bandwidth
        for method, options in WAYS.items():
            row = Row(f"{name}: {method}", 1e9 * statistics.median(times[method]))
            row.goal, row.faster = GOALS[name], True
            if other:
                ratios = sorted(q / t for q, t in zip(times["quantecon"], times[method], strict=True))
                row.ratio = statistics.median(ratios)
                row.ratio_low, row.ratio_high = ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]
            row.note = (
                f"{vectors(model, options):.1f} vectors beyond the result; "
                f"a pass: {share:.2f} of a triad's bytes/s"
            )
            table.append(row)
        if n_states == max(n for n, _, _ in CASES.values()):
            start = time.process_time()
            model.solve("value_iteration", ERROR)
            row = Row(f"{name}: value_iteration", 1e9 * (time.process_time() - start))
            row.note = f"{vectors(model, {'method': 'value_iteration'}):.1f} vectors beyond the result"
            table.append(row)
            table.extend(two_threads(name, model))
    title = f"Garnet, {ACTIONS} actions, {SUCCESSORS} successors, error {ERROR:g}: x quantecon's speed"
    return {title: table}
