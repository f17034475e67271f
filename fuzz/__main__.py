"""Fuzz every target, or those named: ``python -m fuzz [--seconds N] [--keep] [TARGET ...]``.

What was found stands in ``build/fuzz/found`` (one file a failure; ``python -m fuzz --again FILE TARGET`` runs
it once more); the growing corpus in ``build/fuzz/corpus``, of which ``--keep`` takes what reaches new places,
in few and small inputs, into ``fuzz/corpus``.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = HERE.parent / "build" / "fuzz"


def main(arguments: list[str]) -> int:
    """Run the targets one after the other, each in a process of its own; 1 where one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="*", help="names of targets; all when omitted")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--keep", action="store_true", help="keep what reaches new places in fuzz/corpus")
    parser.add_argument("--again", metavar="FILE", type=Path, help="run the target on this input alone")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given, options = parser.parse_known_args(arguments)
    if options and not given.child:
        parser.error(f"unknown: {' '.join(options)}")
    if given.again and not given.target:
        parser.error("--again needs the target that the file is for")
    if given.child:
        return _child(given.target[0], options)
    from .targets import TARGETS

    for name in given.target:
        if name not in TARGETS:
            parser.error(f"no target {name!r}; there are: {', '.join(TARGETS)}")
    if given.again:
        for name in given.target:
            TARGETS[name].run(given.again.read_bytes())
        return 0
    names = given.target or list(TARGETS)
    print(f"{'target':24}{'inputs':>12}{'per second':>12}{'places':>9}{'corpus':>8}")
    return max([_fuzz(name, given.seconds, given.keep) for name in names])


def _fuzz(name: str, seconds: int, keep: bool) -> int:
    from .targets import TARGETS

    corpus, kept, found = WORK / "corpus" / name, HERE / "corpus" / name, WORK / "found"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(TARGETS[name].seeds()):
        (corpus / f"seed-{i}").write_bytes(seed)
    words = WORK / f"{name}.words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in (*TARGETS[name].words, "0")))
    command = [sys.executable, "-m", "fuzz", "--child", name]
    folders = [str(folder) for folder in (corpus, kept) if folder.is_dir()]
    ran = subprocess.run(
        [
            *command,
            f"-max_total_time={seconds}",
            f"-dict={words}",
            f"-artifact_prefix={found}/{name}-",
            "-timeout=20",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
            *folders,
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
    )
    last = dict(re.findall(r"(cov|corp): (\d+)", ran.stderr))
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", ran.stderr))
    inputs = stats.get("number_of_executed_units", "?")
    speed = stats.get("average_exec_per_sec", "?")
    print(
        f"{name:24}{inputs:>12}{speed:>12}{last.get('cov', '?'):>9}{last.get('corp', '?'):>8}"
        + ("" if ran.returncode == 0 else "   FAILED"),
        flush=True,
    )
    if ran.returncode:
        print(ran.stderr[-30000:], file=sys.stderr)
        return 1
    if keep:
        with tempfile.TemporaryDirectory(dir=WORK) as merged:
            subprocess.run([*command, "-merge=1", merged, *folders], capture_output=True, check=True)
            kept.mkdir(parents=True, exist_ok=True)
            for file in kept.iterdir():
                file.unlink()
            if not any(Path(merged).iterdir()):
                raise RuntimeError("a merge that keeps nothing")
            for file in sorted(Path(merged).iterdir()):
                file.rename(kept / file.name[:16])
    return 0


def _escaped(word: str) -> str:
    return "".join(c if c.isalnum() or c == " " else f"\\x{ord(c):02x}" for c in word)


def _child(name: str, options: list[str]) -> int:
    """Hand one target to libFuzzer, which ends the process."""
    try:
        import atheris
    except ImportError:
        sys.exit("fuzzing needs the package atheris: pip install atheris")
    compiled = os.environ.get("MMCORE_COVERAGE_LIBRARY")
    if compiled:
        _compiled_coverage(compiled, atheris)
    with atheris.instrument_imports(include=["mmcore", "tomllib", "json"]):
        from .targets import TARGETS
    # For a merge libFuzzer starts itself again, by a shell.
    itself = shlex.join([sys.executable, "-m", "fuzz", "--child", name])
    atheris.Setup([itself, *options], TARGETS[name].run)
    atheris.Fuzz()
    return 0


def _compiled_coverage(library: str, atheris: object) -> None:
    """Let the compiled modules' counters be read by the libFuzzer inside atheris."""
    core = next(Path(atheris.__file__).parent.glob("core_with_libfuzzer*"))  # type: ignore[attr-defined]
    fuzzer = ctypes.CDLL(str(core))
    find = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(
        lambda symbol: ctypes.cast(getattr(fuzzer, symbol.decode()), ctypes.c_void_p).value
    )
    ctypes.CDLL(library).coverage_start(find)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
