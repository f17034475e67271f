from typing import Any

from .quoting import Policy

__all__ = ["KERNELS", "address", "depth_function"]

_C_API: Any
KERNELS: dict[str, str]

def address(name: str) -> int: ...
def depth_function(policy: Policy, side: str) -> Any: ...
