"""What all models share: checked parameters, reading depths as scalars or arrays, and showing them."""

from __future__ import annotations

import html
import math
import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ApproximationWarning, InvalidArgument
from ..parameters import WHOLE_ORDERS, Parameter, Relation, expect_together

if TYPE_CHECKING:
    from ..calibration import Calibration
    from ..inventory import InventoryLaw
    from ..quoting import Affine, Table

__all__ = ["Floats", "Model"]

Floats = NDArray[np.float64]


class Model(ABC):
    """A market maker's problem with fixed parameters. Immutable.

    A model offers depths (ticks from the reference price, bid and ask), and compiles into a policy.

    Notes
    -----
    Thread-safety: immutable but for a cache of solutions; may be shared between threads.
    """

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = ()
    RELATIONS: ClassVar[tuple[Relation, ...]] = (WHOLE_ORDERS,)
    _kernel: ClassVar[str | None] = None
    """The model of mmcore/recalibration.h that compiles these parameters in place."""

    order_size: int
    horizon: float | None

    def __init__(self, given: dict[str, Any]) -> None:
        for parameter in self.PARAMETERS:
            self.__dict__[parameter.name] = parameter.check(given[parameter.name])
        expect_together(self.RELATIONS, self.__dict__)

    @abstractmethod
    def policy(self, tol: float = 1e-3, max_bytes: int = 64 << 20) -> Affine | Table:
        """Compile into a policy."""

    @abstractmethod
    def _depths(self, inventory: Floats, time_left: Floats) -> tuple[Floats, Floats]:
        """Depths at pairs of inventory and time left that were found readable; NaN where absent."""

    @property
    def _has_stationary(self) -> bool:
        return True

    @overload
    def depths(self, inventory: float, time_left: float = ...) -> tuple[float | None, float | None]: ...
    @overload
    def depths(self, inventory: ArrayLike, time_left: ArrayLike = ...) -> tuple[Floats, Floats]: ...
    def depths(self, inventory: Any, time_left: Any = math.inf) -> tuple[Any, Any]:
        """Depths of bid and ask from the reference price; they may be negative.

        A side is absent where a full order would break the inventory bounds; beyond them only the
        side that reduces is quoted, as at the bound. Off the lattice, depths are interpolated.

        Parameters
        ----------
        inventory : float or array_like
            Lots held, long > 0.
        time_left : float or array_like
            Seconds to the horizon; infinite reads the stationary depths, which is all that a model
            without a horizon has.

        Returns
        -------
        bid, ask : float or None, or ndarray
            Ticks; an absent side is ``None``, in arrays NaN.

        Raises
        ------
        InvalidArgument
            The inventory is not finite; the time left is negative, NaN, beyond the horizon, or
            infinite where there is no stationary solution.
        """
        scalar = np.ndim(inventory) == 0 and np.ndim(time_left) == 0
        q, tau = self._check_place(inventory, time_left)
        bid, ask = self._depths(q.ravel(), tau.ravel())
        if scalar:
            return tuple(None if math.isnan(depth) else float(depth) for depth in (bid[0], ask[0]))  # type: ignore[return-value]
        return bid.reshape(q.shape), ask.reshape(q.shape)

    @property
    def half_spread(self) -> float:
        """Half the distance between the quotes at zero inventory, ticks.

        Stationary, or with the whole horizon left where there is no stationary solution.
        """
        bid, ask = self.depths(0.0, math.inf if self._has_stationary else self.horizon or 0.0)
        if bid is None or ask is None:  # pragma: no cover - q_max >= order_size
            raise InvalidArgument("the model does not quote both sides at zero inventory", argument="q_max")
        return 0.5 * (bid + ask)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name; one number where bid and ask have the same."""
        out = {}
        for parameter in self.PARAMETERS:
            value = getattr(self, parameter.name)
            out[parameter.name] = value[0] if parameter.pair and value and value[0] == value[1] else value
        return out

    def inventory_law(
        self, policy: Any = None, *, session: float | None = None, time_left: float = math.inf
    ) -> InventoryLaw:
        """How much inventory the quotes hold in this model's market in the long run, and how fast it turns.

        Parameters
        ----------
        policy : policy or model, optional
            Another policy to quote with in this market, within this model's ``q_max``; the model's own
            depths when omitted.
        session : float, optional
            Seconds that trading lasts: a relaxation time of more than a quarter of it is warned of.
        time_left : float
            Seconds to the horizon at which the depths are read, as if the clock stood still there.

        Returns
        -------
        InventoryLaw
            The law with its interval, standard deviation, fill rate, relaxation time and P&L.

        Raises
        ------
        InvalidArgument
            The model knows no fill rate A, or :func:`mmcore.inventory_law` refuses.

        Warns
        -----
        ApproximationWarning
            The relaxation time exceeds a quarter of the session.

        Examples
        --------
        >>> from mmcore.models import GueantLehalleFernandezTapia
        >>> model = GueantLehalleFernandezTapia(sigma=2.0, A=0.5, k=0.3, gamma=1e-4, q_max=20)
        >>> law = model.inventory_law()
        >>> law.interval(0.95), round(law.probability(10), 4)
        ((-10.0, 10.0), 0.956)
        """
        from ..inventory import MARKET, find_law

        market = {p.name: getattr(self, p.name) for p in MARKET if hasattr(self, p.name)}
        if market.get("A") is None:
            raise InvalidArgument(
                f"the fills of {type(self).__name__} need A (1/s), which it was not given", argument="A"
            )
        quoted = self if policy is None else policy
        return find_law(quoted, market, getattr(self, "q_max", None), time_left, session)

    def replace(self, **changes: Any) -> Self:
        """Return a model with some parameters changed.

        Raises
        ------
        InvalidArgument
            A name is not a parameter, or a value is not allowed.
        """
        known = self.parameters
        for name, value in changes.items():
            if name not in known:
                raise InvalidArgument(
                    f"{name} is not a parameter of {type(self).__name__}: it has {', '.join(known)}",
                    argument=name,
                    value=value,
                )
        new = type(self)(**{**known, **changes})
        if not {"sigma", "A", "k"} & known.keys() <= changes.keys():
            new._keep_calibration(self.calibration)
        return new

    @property
    def calibration(self) -> Calibration | None:
        """The calibration that this model was made from; None where the parameters were given.

        It says where the numbers come from and takes no part in equality or hash; copies and pickles keep
        it, and so does :meth:`replace` unless sigma, A and k are all replaced.
        """
        return self.__dict__.get("_calibration")

    def _keep_calibration(self, calibration: Calibration | None) -> None:
        self.__dict__["_calibration"] = calibration

    def plot(self, ax: Any = None, time_left: float = math.inf) -> Any:
        """Draw both depths against inventory.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure when omitted.
        time_left : float
            Seconds to the horizon.

        Raises
        ------
        MissingExtra
            matplotlib is not installed (extra ``plot``).
        """
        from ..plots import plot_model

        if not self._has_stationary and math.isinf(time_left):
            time_left = self.horizon or 0.0
        return plot_model(self, ax, time_left)

    def _check_place(self, inventory: Any, time_left: Any) -> tuple[Floats, Floats]:
        """Both as float arrays of one shape, or raise."""
        q = _floats("inventory", inventory, "finite numbers (lots)")
        tau = _floats("time_left", time_left, "numbers (s)")
        _refuse(q, ~np.isfinite(q), "inventory", "a finite number (lots)")
        allowed = ">= 0"
        wrong = ~(tau >= 0)
        if self.horizon is not None:
            wrong |= np.isfinite(tau) & (tau > self.horizon)
            allowed += f" and <= {self.horizon:g}, the horizon"
        if self._has_stationary:
            allowed += ", or inf for the stationary solution"
        else:
            wrong |= np.isinf(tau)
            allowed += " (there is no stationary solution)"
        _refuse(tau, wrong, "time_left", allowed)
        try:
            both = np.broadcast_arrays(np.atleast_1d(q), np.atleast_1d(tau))
        except ValueError:
            raise InvalidArgument(
                argument="time_left", value=tau.shape, allowed=f"of a shape that goes with {q.shape}"
            ) from None
        return both[0], both[1]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"models are immutable: use replace({name}=...)")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and type(other) is type(self) and other.parameters == self.parameters

    def __hash__(self) -> int:
        return hash((type(self), *self.parameters.values()))

    @classmethod
    def _restored(cls, parameters: dict[str, Any], calibration: Calibration | None) -> Self:
        """Return the model of these parameters; of approximations it warned when it was first made."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ApproximationWarning)
            made = cls(**parameters)
        made._keep_calibration(calibration)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._restored, (self.parameters, self.calibration)

    def _shown(self) -> dict[str, Any]:
        """The parameters that differ from their defaults."""
        return {
            p.name: value
            for p, value in zip(self.PARAMETERS, self.parameters.values(), strict=True)
            if p.required or value != p.default
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._shown().items())})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{p.name}</td><td>{html.escape(str(value))}</td><td>{p.unit}</td><td>{p.doc}</td></tr>"
            for p, value in zip(self.PARAMETERS, self.parameters.values(), strict=True)
        )
        return (
            f"<b>{type(self).__name__}</b><table><tr><th>parameter</th><th>value</th><th>unit</th><th></th></tr>"
            f"{rows}<tr><td>half_spread</td><td>{self.half_spread:.6g}</td><td>ticks</td>"
            "<td>half the distance between the quotes at zero inventory</td></tr></table>"
        )


def _floats(name: str, value: Any, allowed: str) -> Floats:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidArgument(argument=name, value=value, allowed=allowed) from None


def _refuse(array: Floats, wrong: NDArray[np.bool_], name: str, allowed: str) -> None:
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise InvalidArgument(
            argument=name, value=float(array.flat[at]), allowed=allowed, index=at if array.ndim else None
        )
