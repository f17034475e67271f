"""Random models, every method of ours and of four other packages: ``python -m bench.agree [MODELS]``.

The packages live in an environment of their own, ``build/peers/programs``, which ``make agree`` makes. Ours
are right where the bounds of all methods of ours meet; another package is right where it is within the
error that it was asked for. What is found is printed and kept in ``build/bench/agree.json``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import mmcore as mm

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "build/peers/programs/bin/python"
ERROR = 1e-6
STATES, ACTIONS, HORIZON = 12, 3, 20
DISCOUNTS = (0.5, 0.9, 0.99, 0.999)
METHODS = [
    *(
        (m, "auto")
        for m in ("value_iteration", "gauss_seidel", "modified_policy_iteration", "anderson", "auto")
    ),
    *(("policy_iteration", e) for e in ("band", "sparse", "bicgstab", "gmres")),
]


def random_models(count: int, seed: int = 0) -> dict[str, Any]:
    """Return `count` models of each kind: rewards (S, A) in -1 to 1, rows of three successors.

    Every second model moves among neighbours only, and so mixes slowly; averages have one recurrent class.
    """
    rng = np.random.default_rng(seed)
    given: dict[str, Any] = {"error": ERROR, "horizon": HORIZON}
    for kind in ("discounted", "finite", "average"):
        p = np.zeros((count, STATES, ACTIONS, STATES))
        for i, s, a in np.ndindex(count, STATES, ACTIONS):
            near = np.arange(max(0, s - 2), min(STATES, s + 3)) if i % 2 else np.arange(STATES)
            to = rng.choice(near, 3, replace=False)
            p[i, s, a, to] = rng.dirichlet(np.ones(3))
        if kind == "average":
            p = 0.95 * p
            p[..., 0] += 0.05
        given[f"{kind}_p"] = p / p.sum(axis=3, keepdims=True)
        given[f"{kind}_r"] = rng.uniform(-1, 1, (count, STATES, ACTIONS))
        given[f"{kind}_gamma"] = rng.choice(DISCOUNTS, count)
    given["finite_end"] = rng.standard_normal((count, STATES))
    return given


def ours(given: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the middle of the tightest bounds of each model, which all methods' bounds hold."""
    found: dict[str, list[Any]] = {"discounted": [], "finite": [], "average": []}
    for i in range(len(given["discounted_r"])):
        r, p, gamma = (given[f"discounted_{x}"][i] for x in ("r", "p", "gamma"))
        model = mm.dp.MDP(r, p, float(gamma))
        solutions = [model.solve(m, ERROR, evaluator=e, max_iterations=10**6) for m, e in METHODS]
        found["discounted"].append(met(solutions))
        r, p, gamma = (given[f"finite_{x}"][i] for x in ("r", "p", "gamma"))
        end = given["finite_end"][i]
        found["finite"].append(met([mm.dp.backward_induction(r, p, HORIZON, end, discount=float(gamma))]))
        model = mm.dp.MDP(given["average_r"][i], given["average_p"][i], 1.0)
        methods = ("policy_iteration", "relative_value_iteration")
        found["average"].append(met([mm.dp.average_reward(model, m, ERROR) for m in methods]))
    return found


def met(solutions: list[Any]) -> Any:
    """Middle of what all bounds leave."""
    lower = np.max([s.lower for s in solutions], axis=0)
    upper = np.min([s.upper for s in solutions], axis=0)
    assert (lower <= upper).all(), "bounds of our methods exclude each other"
    assert all(s.stop_reason == "tolerance" for s in solutions)
    assert (upper - lower).max() <= 2 * ERROR
    return (lower + upper) / 2


def gain_of(policy: list[float], r: Any, p: Any) -> float:
    """Gain of a policy with one recurrent class, by its stationary law."""
    chosen = np.asarray(policy, dtype=int)
    rows = p[np.arange(STATES), chosen]
    system = np.vstack([rows.T - np.eye(STATES), np.ones(STATES)])
    law = np.linalg.lstsq(system, np.append(np.zeros(STATES), 1.0), rcond=None)[0]
    return float(law @ r[np.arange(STATES), chosen])


def compare(
    given: dict[str, Any], wanted: dict[str, list[Any]], told: dict[str, list[Any]]
) -> dict[str, Any]:
    """Return of each method how many models it got right, its largest error, and what it raised first."""
    table = {}
    for name, answers in told.items():
        kind = name.split(", ", 1)[1].split(":")[0]
        errors, raised = [], ""
        for i, answer in enumerate(answers):
            if isinstance(answer, str):
                raised = raised or answer
                continue
            right = wanted[kind.split(" ")[0]][i]
            if kind == "average policy":
                answer = [gain_of(answer, given["average_r"][i], given["average_p"][i])]
            value = np.asarray(answer, dtype=float)
            same = value.shape == np.shape(right) or value.size == np.size(right)
            errors.append(float(np.abs(value.reshape(np.shape(right)) - right).max()) if same else np.inf)
        table[name] = {
            "models": len(answers),
            "right": int(np.sum(np.array(errors) <= 2 * ERROR)),
            "worst": max(errors, default=float("nan")),
            "raised": raised,
        }
    return table


def ask(given: dict[str, Any], folder: Path) -> dict[str, list[Any]]:
    """Let the packages answer."""
    folder.mkdir(parents=True, exist_ok=True)
    models, answers = folder / "agree_models.npz", folder / "agree_answers.json"
    np.savez(models, **given)
    script = Path(__file__).with_name("agree_peers.py")
    subprocess.run([PEERS, script, models, answers], check=True, capture_output=True, timeout=3000)
    found: dict[str, list[Any]] = json.loads(answers.read_text(encoding="utf-8"))
    return found


def main(count: int = 200) -> None:
    """Compare, print and keep."""
    if not PEERS.exists():
        raise SystemExit(f"no environment {PEERS.parent.parent}: `make agree` makes it")
    given = random_models(count)
    table = compare(given, ours(given), ask(given, ROOT / "build/bench"))
    print(f"{count} models of each kind, error {ERROR:g}; all methods of ours agree within their bounds")
    for name, row in table.items():
        words = f"  {row['raised'][:60]}" if row["raised"] else ""
        right = f"{row['right']:4d} of {row['models']} right"
        print(f"  {name:58s} {right}, worst error {row['worst']:9.2g}{words}")
    (ROOT / "build/bench/agree.json").write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
