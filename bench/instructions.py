"""Instructions of each hot kernel, counted by callgrind: they repeat exactly, so that they can gate.

``python -m bench.instructions`` counts and prints them beside those on record in ``instructions.json``;
``--record REASON`` writes them there. Counts are kept for each machine and compiler.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mmcore as mm

HERE = Path(__file__).resolve().parent
RECORD = HERE / "instructions.json"
FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
FEW, MANY = 2000, 6000
RISE = 0.02


def can_count() -> bool:
    """Whether this machine has what it takes."""
    return bool(shutil.which("cc") and shutil.which("valgrind"))


def machine() -> str:
    """Return what counts depend on: architecture, compiler and C library, which picks its code by the CPU."""
    told = subprocess.run(["cc", "--version"], check=True, capture_output=True, text=True).stdout
    cpu = Path("/proc/cpuinfo")
    fused = " with FMA" if cpu.exists() and " fma " in cpu.read_text() else ""
    return f"{platform.machine()}{fused}, {told.splitlines()[0]}, {' '.join(platform.libc_ver())}"


def counted(program: Path, kernel: str, n: int) -> int:
    """Return the instructions of a process that runs a kernel n times."""
    told = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, kernel, str(n)],
        check=True,
        capture_output=True,
        text=True,
    ).stderr
    found = re.search(r"Collected : (\d+)", told)
    assert found, told
    return int(found[1])


def count() -> dict[str, float]:
    """Return the instructions of each kernel, its loop included."""
    program = Path("build/bench/kernels")
    program.parent.mkdir(parents=True, exist_ok=True)
    source = HERE / "kernels.c"
    command = ["cc", *FLAGS, f"-I{mm.get_include()}", source, "-o", program, "-lm"]
    subprocess.run(command, check=True)
    kernels = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    with ThreadPoolExecutor(2) as pool:
        few = pool.map(lambda kernel: counted(program, kernel, FEW), kernels)
        many = pool.map(lambda kernel: counted(program, kernel, MANY), kernels)
        return {k: (m - f) / (MANY - FEW) for k, m, f in zip(kernels, many, few, strict=True)}


def recorded() -> dict[str, dict[str, float]]:
    """Return the counts on record, by machine."""
    found: dict[str, dict[str, float]] = json.loads(RECORD.read_text())["counts"] if RECORD.exists() else {}
    return found


def main(arguments: list[str]) -> None:
    """Count, print, and record where a reason is given."""
    now, known = count(), recorded().get(machine(), {})
    print(machine())
    for kernel, n in now.items():
        before = known.get(kernel)
        print(f"  {kernel:20s} {n:9.1f}" + (f"  {n / before - 1:+.1%}" if before else "  not on record"))
    if arguments[:1] == ["--record"]:
        reason = " ".join(arguments[1:])
        if not reason:
            raise SystemExit("--record needs the reason of the change")
        counts = {**recorded(), machine(): {k: round(n, 1) for k, n in now.items()}}
        RECORD.write_text(json.dumps({"reason": reason, "counts": counts}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
