"""What other packages say of the models in a file: ``python bench/agree_peers.py MODELS ANSWERS``.

Run by :mod:`bench.agree` in an environment of its own, which holds the packages and not mmcore. Each answer
is an array for each model: values, or the gain in the first place where rewards are averaged.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

Answers = Iterator[tuple[str, Callable[..., Any]]]


def quantecon(error: float) -> Answers:
    """Tolerances as its documentation has them: epsilon / 2 bounds the error of the value."""
    markov = import_module("quantecon.markov")

    def solve(method: str) -> Callable[..., Any]:
        def solved(r: Any, p: Any, gamma: float) -> Any:
            return markov.DiscreteDP(r, p, gamma).solve(method, epsilon=2 * error, max_iter=10**7).v

        return solved

    for method in ("value_iteration", "modified_policy_iteration", "policy_iteration"):
        yield f"discounted: {method}", solve(method)
    yield (
        "finite: backward_induction",
        lambda r, p, gamma, horizon, end: markov.backward_induction(
            markov.DiscreteDP(r, p, gamma), horizon, end
        )[0],
    )


def pymdptoolbox(error: float) -> Answers:
    """Transitions (A, S, S)."""
    mdp = import_module("mdptoolbox.mdp")

    def value(kind: str, **options: Any) -> Callable[..., Any]:
        def solved(r: Any, p: Any, gamma: float) -> Any:
            solver = getattr(mdp, kind)(p.transpose(1, 0, 2), r, gamma, **options)
            solver.run()
            return solver.V

        return solved

    for kind in ("ValueIteration", "ValueIterationGS", "PolicyIterationModified"):
        yield (
            f"discounted: {kind}",
            value(kind, epsilon=error, **({} if kind[-1] == "d" else {"max_iter": 10**6})),
        )
    yield "discounted: PolicyIteration", value("PolicyIteration")
    yield "discounted: PolicyIteration, iterative", value("PolicyIteration", eval_type=1)

    def finite(r: Any, p: Any, gamma: float, horizon: int, end: Any) -> Any:
        solver = mdp.FiniteHorizon(p.transpose(1, 0, 2), r, gamma, horizon, end)
        solver.run()
        return solver.V.T

    def average(r: Any, p: Any) -> Any:
        solver = mdp.RelativeValueIteration(p.transpose(1, 0, 2), r, epsilon=error, max_iter=10**6)
        solver.run()
        return [solver.average_reward]

    yield "finite: FiniteHorizon", finite
    yield "average: RelativeValueIteration", average


def mdpsolver(error: float) -> Answers:
    """One tolerance for all; of an average it returns a policy, which the caller values."""
    package = import_module("mdpsolver")

    def model(r: Any, p: Any, gamma: float, **options: Any) -> Any:
        made = package.model()
        made.mdp(discount=gamma, rewards=r.tolist(), tranMatWithZeros=p.tolist())
        made.solve(tolerance=error, parallel=False, **options)
        return made

    for method in ("vi", "mpi", "pi"):
        yield (
            f"discounted: {method}",
            lambda r, p, gamma, method=method: model(r, p, gamma, algorithm=method).getValueVector(),
        )
        yield (
            f"average policy: {method}",
            lambda r, p, method=method: model(
                r,
                p,
                0.99,
                algorithm=method,
                criterion="average",  # 1 is refused
            ).getPolicy(),
        )


def jaxdp(error: float) -> Answers:
    """It has steps and no rule when to stop: as many as the discount may need."""
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    package, numpy = import_module("jaxdp"), import_module("jax.numpy")
    import_module("chex").disable_asserts()  # of values, which a compiled loop has not got
    compiled: dict[float, Any] = {}

    def solved(r: Any, p: Any, gamma: float) -> Any:
        n, m = r.shape
        rewards = np.broadcast_to(r.T[:, :, None], (m, n, n))
        model = package.MDP(
            transition=numpy.asarray(p.transpose(1, 2, 0)),
            reward=numpy.asarray(rewards),
            initial=numpy.full(n, 1 / n),
            terminal=numpy.zeros(n),
        )
        algorithm = package.ValueIteration(gamma=gamma)
        steps = math.ceil(math.log(error * (1 - gamma)) / math.log(gamma))  # rewards are at most 1
        if gamma not in compiled:
            compiled[gamma] = jax.jit(
                lambda made, state: jax.lax.fori_loop(0, steps, lambda _, s: algorithm.update(made, s), state)
            )
        return compiled[gamma](model, algorithm.init(model)).v_val

    yield "discounted: ValueIteration", solved


def main(models: str, answers: str) -> None:
    """Ask each package of each model that it is for; what it raises is an answer too."""
    found: dict[str, list[Any]] = {}
    with np.load(models) as file:
        given = {name: file[name] for name in file.files}
    for package in (quantecon, pymdptoolbox, mdpsolver, jaxdp):
        try:
            asked = list(package(float(given["error"])))
        except ImportError:
            continue
        for name, solve in asked:
            kind = name.split(":")[0].split(" ")[0]
            told = found.setdefault(f"{package.__name__}, {name}", [])
            for i in range(len(given[f"{kind}_r"])):
                arguments = [given[f"{kind}_{x}"][i] for x in ("r", "p")]
                arguments += [float(given[f"{kind}_gamma"][i])] if kind != "average" else []
                arguments += [int(given["horizon"]), given["finite_end"][i]] if kind == "finite" else []
                try:
                    told.append(np.asarray(solve(*arguments), dtype=float).tolist())
                except (Exception, SystemExit) as error:  # one of them leaves the interpreter
                    told.append(f"{type(error).__name__}: {error}")
    with open(answers, "w", encoding="utf-8") as out:
        json.dump(found, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
