from typing import Any

from .quoting import Policy, Quoter

__all__ = ["KERNELS", "STRUCTS", "address", "depth_function", "rules"]

_C_API: Any
KERNELS: dict[str, str]
STRUCTS: dict[str, int]

def address(name: str) -> int: ...
def depth_function(policy: Policy, side: str) -> Any: ...
def rules(quoter: Quoter) -> bytes: ...
