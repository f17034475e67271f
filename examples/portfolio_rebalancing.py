"""Twenty stocks: their exact frontier, and whether it pays to know the cost of a monthly re-optimisation.

Every month the last three years of daily returns give a covariance and expected returns, and a portfolio is
chosen for the month to come: once knowing what each trade costs, once as if trades were free. Both pay the
costs, and so does a third that goes back to equal weights. Nothing sees a day that it has not lived.

    python examples/portfolio_rebalancing.py [PRICES.csv.gz] [PICTURE]

PRICES has a date and one column of adjusted closes for each stock, oldest first; it is read as `mmcore size
mean-variance` reads it. Without it a market of three factors is simulated.
"""

import os
import sys

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

import mmcore as mm
from mmcore.cli.returns import read_returns
from mmcore.portfolio import sample_covariance

SMALL = os.environ.get("MMCORE_EXAMPLE") == "small"
MONTH, WINDOW, YEAR = 21, 756, 252  # days
LARGEST = 8  # areas of the picture that have names
COST, RISK_AVERSION, CAP = 0.001, 4.0, 0.25  # of each dollar traded; λ; largest weight
NAMES = ("aware of costs", "blind to costs", "equal weights")


def simulated(assets: int = 20, days: int = 1200 if SMALL else 8312) -> np.ndarray:
    """Return daily returns of a market, a value and a sector factor, with fat tails."""
    rng = np.random.default_rng(7)
    load = np.column_stack([rng.normal(1.0, 0.3, assets), rng.normal(0.0, 0.4, (assets, 2))])
    factors = rng.standard_t(5, size=(days, 3)) * np.array([0.009, 0.005, 0.005])
    own = rng.standard_t(5, size=(days, assets)) * rng.uniform(0.008, 0.018, assets)
    return 0.0004 + 0.0002 * (load[:, 0] - 1.0) + factors @ load.T + own


def loaded(path: str) -> tuple[list[str], np.ndarray]:
    """Return the stocks and their daily returns from a file of prices."""
    try:
        names, returns, notes = read_returns(path, prices=True)
    except OSError as error:
        sys.exit(f"{path}: {error.strerror}")
    except mm.errors.Error as error:
        sys.exit(str(error))
    for note in notes:
        print(f"note: {note}")
    if len(returns) < WINDOW + MONTH:
        sys.exit(f"{path}: {len(returns) + 1} days of prices, the first month needs {WINDOW + MONTH + 1}")
    if len(names) * CAP < 1.0:
        sys.exit(f"{path}: {len(names)} stocks, at most {CAP:.0%} in each")
    return names, returns


def forecast(past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return covariance and expected returns of a month: the means half-way to their common mean."""
    means = past.mean(axis=0)
    return MONTH * sample_covariance(past), MONTH * 0.5 * (means + means.mean())


def chosen(name: str, past: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return the weights for the month to come."""
    if name == "equal weights":
        return np.full(len(held), 1.0 / len(held))
    covariance, expected = forecast(past)
    cost = COST if name == "aware of costs" else None
    found = mm.mean_variance(
        covariance, expected, RISK_AVERSION, lower=0.0, upper=CAP, holdings=held, cost=cost
    )
    assert found.residual < 1e-10
    return found.weights


def rolled(returns: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the daily returns after costs, and the turnover of each month."""
    held = np.full(returns.shape[1], 1.0 / returns.shape[1])
    daily, turnover = [], []
    for start in range(WINDOW, len(returns) - MONTH + 1, MONTH):
        weights = chosen(name, returns[start - WINDOW : start], held)
        turnover.append(np.abs(weights - held).sum())
        worth = weights * np.cumprod(1.0 + returns[start : start + MONTH], axis=0)
        total = np.concatenate([[1.0], worth.sum(axis=1)])
        month = total[1:] / total[:-1] - 1.0
        month[0] = (1.0 + month[0]) * (1.0 - COST * turnover[-1]) - 1.0
        daily.append(month)
        held = worth[-1] / worth[-1].sum()
    return np.concatenate(daily), np.array(turnover)


def picture(path: str, frontier: mm.Frontier, names: list[str], runs: dict) -> None:
    """Draw the frontier, what it holds, and what became of a dollar."""
    figure = Figure(figsize=(14.0, 4.2), layout="constrained")
    curve, share, wealth = figure.subplots(1, 3)
    covariance = frontier.problem.covariance
    tolerance = np.concatenate(
        [
            np.linspace(a, b, 20)
            for a, b in zip(frontier.risk_tolerance[:-1], frontier.risk_tolerance[1:], strict=True)
        ]
    )
    points = [frontier.at(risk_aversion=1.0 / t) for t in tolerance[1:]]
    risks = np.array([p.risk for p in points])
    curve.plot(100 * risks, [100 * p.expected_return for p in points], color="C0", label="frontier")
    curve.plot(100 * frontier.risks, 100 * frontier.returns, "o", ms=4, color="C0", label="turning points")
    alone = 100 * np.sqrt(covariance.diagonal())
    curve.plot(alone, 100 * frontier.expected_returns, "x", color="0.5", label="single stocks")
    curve.set(xlabel="risk, % a year", ylabel="expected return, % a year", title="The exact frontier")
    curve.legend(frameon=False)
    weights = np.array([p.weights for p in points])
    area = np.diff(risks) @ (weights[1:] + weights[:-1])  # twice it
    held = [int(i) for i in np.argsort(-area, kind="stable") if area[i] > 0.0]
    named, others = held[:LARGEST], held[LARGEST:]
    areas, labels = weights[:, named].T, [names[i] for i in named]
    colors = [color for i, color in enumerate(colormaps["tab10"].colors) if i != 7][: len(named)]  # no grey
    if others:
        areas = np.vstack([areas, weights[:, others].sum(axis=1)])
        labels.append(f"{len(others)} others")
        colors.append("0.85")
    share.stackplot(100 * risks, 100 * areas, labels=labels, colors=colors, edgecolor="white", lw=0.3)
    share.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True, frameon=False, fontsize="small")
    share.set(xlabel="risk, % a year", ylabel="weights, %", title="What it holds", ylim=(0, 100))
    share.set_xlim(100 * risks[0], 100 * risks[-1])
    for index, (name, (daily, _)) in enumerate(runs.items()):
        years = np.arange(1, len(daily) + 1) / YEAR
        wealth.plot(years, np.cumprod(1.0 + daily), color=f"C{index}", lw=1.0, label=name)
    wealth.set(xlabel="years", ylabel="a dollar, after costs", title="Monthly, out of sample", yscale="log")
    wealth.legend(frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Print the frontier and the three ways to re-balance, and draw them."""
    if len(sys.argv) > 1:
        names, returns = loaded(sys.argv[1])
    else:
        returns = simulated()
        names = [f"stock {i + 1}" for i in range(returns.shape[1])]
    frontier = mm.efficient_frontier(YEAR * sample_covariance(returns), YEAR * returns.mean(axis=0))
    print(f"{returns.shape[1]} stocks, {len(returns):,} days: {frontier}")
    print(f"monthly from {WINDOW} days, {1e4 * COST:g} bp a trade, λ = {RISK_AVERSION:g}, cap {CAP:.0%}")
    print(f"{'':16}{'return':>9}{'risk':>9}{'ratio':>8}{'turnover':>10}{'cost':>8}   a year")
    runs = {name: rolled(returns, name) for name in NAMES}
    for name, (daily, turnover) in runs.items():
        years = len(daily) / YEAR
        gain, risk = YEAR * daily.mean(), np.sqrt(YEAR) * daily.std()
        traded = turnover.sum() / years
        print(f"{name:16}{gain:9.2%}{risk:9.2%}{gain / risk:8.2f}{traded:10.2f}{COST * traded:8.2%}")
    drawn = sys.argv[2] if len(sys.argv) > 2 else "portfolios.png"
    picture(drawn, frontier, names, runs)
    print(drawn)


if __name__ == "__main__":
    main()
