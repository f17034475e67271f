"""What a result owes to its assumptions: the same replay under other latencies and fees.

>>> import mmcore as mm
>>> events = mm.SimulatedMarket(duration=300.0, seed=1).events()
>>> found = sensitivity(events, mm.Affine(base=2.0, q_max=5), latency=(0.0, 0.1, 1.0))
>>> [row.latency for row in found]
[0.0, 0.1, 1.0]
>>> found[0].total == mm.replay(events, mm.Affine(base=2.0, q_max=5)).attribution.total
True
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any

from .errors import InvalidArgument
from .instruments import money_text
from .replaying import Progress, replay_each
from .results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .events import Events

__all__ = ["Sensitivity", "SensitivityRow", "sensitivity"]

COLUMNS = ("latency (s)", "maker fee", "fills", "spread", "inventory", "fees", "total")


@dataclass(frozen=True)
class SensitivityRow:
    """One replay of the grid.

    Attributes
    ----------
    latency : float
        Seconds.
    maker_fee : Decimal
        Rate of the notional.
    result : Result
        The replay.
    """

    latency: float
    maker_fee: Decimal
    result: Result

    @property
    def total(self) -> Decimal:
        """Profit after fees, in the instrument's currency."""
        return self.result.attribution.total

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table, in words."""
        a = self.result.attribution
        amounts = (money_text(x, "+,") for x in (a.spread, a.inventory, a.fees, a.total))
        return (
            f"{self.latency:g}",
            f"{self.maker_fee * 10_000:f}".rstrip("0").rstrip(".") + " bp" if self.maker_fee else "0",
            f"{len(self.result.fills):,}",
            *amounts,
        )


class Sensitivity(Sequence[SensitivityRow]):
    """A grid of replays: made by :func:`sensitivity`. A sequence of :class:`SensitivityRow`.

    Notes
    -----
    Thread-safety: immutable.
    """

    def __init__(self, rows: Sequence[SensitivityRow]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def __iter__(self) -> Iterator[SensitivityRow]:
        return iter(self._rows)

    def __str__(self) -> str:
        table = [COLUMNS, *(row.cells for row in self._rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS))]
        lines = ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in table]
        return "\n".join([*lines, f"amounts in {self._currency}"])

    __repr__ = __str__

    @property
    def _currency(self) -> str:
        return self._rows[0].result.instrument.currency.name

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in COLUMNS)
        body = "".join(
            "<tr>"
            + "".join(f'<td style="text-align:right">{html.escape(c)}</td>' for c in row.cells)
            + "</tr>"
            for row in self._rows
        )
        caption = f"<caption>amounts in {html.escape(self._currency)}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def plot(self, ax: Axes | None = None) -> Any:
        """Draw the total against the latency, a line for each fee (extra ``plot``)."""
        from .plots import plot_sensitivity

        return plot_sensitivity(self, ax)


def sensitivity(
    events: Events,
    quoter: Any,
    *,
    latency: Iterable[float] = (0.0, 0.01, 0.1, 1.0),
    maker_fee: Iterable[str | int | float | Decimal] = (0,),
    progress: Progress | None = None,
    **settings: Any,
) -> Sensitivity:
    """Replay under every combination of latency and maker fee, in one pass over the events.

    The fee is what fills are charged; a model's own ``fee``, which moves its quotes, stays as it is.

    Parameters
    ----------
    events : Events
        The market.
    quoter : Quoter, or a policy or model to make one from
        Who quotes.
    latency : iterable of float
        Seconds.
    maker_fee : iterable of str, int, Decimal or float
        Rates of the notional.
    progress : callable, optional
        As of :func:`mmcore.replay`.
    **settings
        Other arguments of :func:`mmcore.replay`.

    Returns
    -------
    Sensitivity
        Rows in the order of the latencies, then of the fees.

    Raises
    ------
    InvalidArgument
        Nothing to vary, or what :func:`mmcore.replay` refuses.
    """
    for name, values, unit in (("latency", latency, "seconds"), ("maker_fee", maker_fee, "rates")):
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise InvalidArgument(argument=name, value=values, allowed=f"a list of {unit}")
    grid = list(product(list(latency), list(maker_fee)))
    if not grid:
        raise InvalidArgument(argument="latency, maker_fee", value=(), allowed="at least one of each")
    found = replay_each(events, quoter, [{"latency": s, "maker_fee": f} for s, f in grid], settings, progress)
    return Sensitivity(
        [
            SensitivityRow(float(seconds), Decimal(result.settings["maker_fee"]), result)
            for (seconds, _), result in zip(grid, found, strict=True)
        ]
    )
