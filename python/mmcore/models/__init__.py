"""Models of a market maker's problem; each compiles into a policy that the quoter reads.

================================================  ==================================================
:class:`GueantLehalleFernandezTapia`              exact, exponential intensities, inventory bounds
:class:`GueantLehalleFernandezTapiaClosedForm`    its closed-form approximation, by name
:class:`CarteaJaimungal`                          exact, running and terminal inventory penalties
:class:`AvellanedaStoikov`                        the paper's approximation, by name
================================================  ==================================================

Units: prices in ticks, inventory in lots, time in seconds; see :doc:`/theory`.
"""

from .avellaneda_stoikov import AvellanedaStoikov
from .cartea_jaimungal import CarteaJaimungal
from .gueant_lehalle_fernandez_tapia import (
    GueantLehalleFernandezTapia,
    GueantLehalleFernandezTapiaClosedForm,
)

__all__ = [
    "AvellanedaStoikov",
    "CarteaJaimungal",
    "GueantLehalleFernandezTapia",
    "GueantLehalleFernandezTapiaClosedForm",
]
