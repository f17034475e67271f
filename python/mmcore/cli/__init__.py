"""The command ``mmcore`` (extra ``cli``): ``replay``, ``calibrate``, ``quote``, ``solve``, ``size``,
``feed``, ``init`` and ``doctor``.

Exit codes: 0 it was done; 1 the answer is no (the data do not identify what was asked for); 2 the
input is wrong; 141 the reader of the output left (``mmcore calibrate | head -1``), as a shell reports it
of any program that ends so. Errors are one readable line on standard error; progress goes there too, so
standard output holds the answer alone, and with ``--json`` nothing but JSON.
"""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    with _ended_by_pipes():
        mmcore.main(args=arguments, prog_name="mmcore")
    raise AssertionError("unreachable")  # a click group leaves by sys.exit


@contextmanager
def _ended_by_pipes() -> Iterator[None]:
    """Let a reader that leaves (head, a pager) end the program, at once and without a word.

    Python ignores the signal that ends other programs then, and reports a failed write instead: from
    wherever it happens, or from the flush at the very end, where nothing can catch it.
    """
    if not hasattr(signal, "SIGPIPE") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, before)
