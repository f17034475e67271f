"""Fuzz every target, or those named: ``python -m fuzz [--seconds N] [--keep] [TARGET ...]``.

What was found stands in ``build/fuzz/found`` (one file a failure; ``python -m fuzz --again FILE TARGET`` runs
it once more); the growing corpus in ``build/fuzz/corpus``, of which ``--keep`` takes the few inputs that
reach the most into ``fuzz/corpus``.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = HERE.parent / "build" / "fuzz"
KEPT, FILES = 8_000, 10
"""Bytes and files kept in ``fuzz/corpus`` of each target, at most."""


def main(arguments: list[str]) -> int:
    """Run the targets, each in a process of its own, one on each core; 1 where one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="*", help="names of targets; all when omitted")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--keep", action="store_true", help="keep what reaches the most in fuzz/corpus")
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
    with ThreadPoolExecutor(os.cpu_count()) as cores:
        return max(cores.map(lambda name: _fuzz(name, given.seconds, given.keep), names))


_GRACE = 300  # s, to begin with, and to end


def _ran(command: list[str], seconds: float) -> tuple[bool, str]:
    """Run libFuzzer; return whether it failed, and what it said.

    One that has told its statistics and found nothing is done, even where it does not end: it exits holding
    the GIL, for which a thread of Arrow's that exiting waits for may still be waiting.
    """
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, errors="replace"
    ) as child:
        try:
            _, said = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            _, said = child.communicate()
            return "stat::peak_rss_mb" not in said or "SUMMARY:" in said, said
    return child.returncode != 0, said


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
    options = [f"-max_total_time={seconds}", f"-dict={words}", f"-artifact_prefix={found}/{name}-"]
    options += ["-timeout=120", "-rss_limit_mb=4096", "-print_final_stats=1"]
    failed, said = _ran([*command, *options, *folders], seconds + _GRACE)
    last = dict(re.findall(r"(cov|corp): (\d+)", said))
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", said))
    inputs = stats.get("number_of_executed_units", "?")
    speed = stats.get("average_exec_per_sec", "?")
    print(
        f"{name:24}{inputs:>12}{speed:>12}{last.get('cov', '?'):>9}{last.get('corp', '?'):>8}"
        + ("   FAILED" if failed else ""),
        flush=True,
    )
    if failed:
        print(said[-30000:], file=sys.stderr)
        return 1
    if keep:
        control = WORK / f"{name}.merge"
        control.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=WORK) as merged:
            merge = ["-set_cover_merge=1", f"-merge_control_file={control}", merged, *folders]
            subprocess.run([*command, *merge], capture_output=True, check=True)
        chosen = {file: file.read_bytes() for file in _chosen(control.read_text())}
        kept.mkdir(parents=True, exist_ok=True)
        for file in kept.iterdir():
            file.unlink()
        for data in chosen.values():
            (kept / hashlib.sha1(data, usedforsecurity=False).hexdigest()[:16]).write_bytes(data)
    return 0


def _chosen(control: str) -> list[Path]:
    """Return the inputs that reach the most, within :data:`KEPT` and :data:`FILES`, by what a merge saw.

    Its control file has the number of inputs, that of those kept already, their paths, and then, of each that
    ran, its number and its size behind ``STARTED``, and the places that it reached behind ``FT``.
    """
    lines = control.splitlines()
    paths = [Path(line) for line in lines[2 : 2 + int(lines[0])]]
    sizes: dict[int, int] = {}
    places: dict[int, set[str]] = {}
    for what, number, *rest in map(str.split, lines[2 + len(paths) :]):
        if what == "STARTED":
            sizes[int(number)] = int(rest[0])
        elif what == "FT":
            places[int(number)] = set(rest)
    chosen: list[Path] = []
    seen: set[str] = set()
    left = KEPT
    while len(chosen) < FILES and (fits := [at for at in places if sizes[at] <= left and places[at] - seen]):
        best = max(fits, key=lambda at: (len(places[at] - seen), -sizes[at]))
        chosen.append(paths[best])
        seen |= places[best]
        left -= sizes[best]
    if not chosen:
        raise RuntimeError("a merge that keeps nothing")
    return chosen


def _escaped(word: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c == " ") else f"\\x{ord(c):02x}" for c in word)


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
