"""The command ``mmcore`` (extra ``cli``): ``replay``, ``calibrate``, ``quote`` and ``init``.

Exit codes: 0 it was done; 1 the answer is no (the data do not identify what was asked for); 2 the
input is wrong. Errors are one readable line on standard error; progress goes there too, so standard
output holds the answer alone, and with ``--json`` nothing but JSON.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; never returns.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands behind ``mmcore``; ``sys.argv[1:]`` when omitted.

    Raises
    ------
    SystemExit
        Always, with the exit code.
    """
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError:
        from ..errors import MissingExtra

        print(f"error: {MissingExtra('the command line', 'cli')}", file=sys.stderr)
        sys.exit(2)
    from .group import mmcore

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Where the terminal cannot write σ, it shows another sign instead of failing.
            stream.reconfigure(errors="replace")
    mmcore.main(args=arguments, prog_name="mmcore")
    raise AssertionError("unreachable")  # a click group leaves by sys.exit
