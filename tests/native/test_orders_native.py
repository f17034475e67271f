"""The orders kernel as C: every interleaving to a depth, under sanitizers; the header in C++."""

import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

import mmcore as mm

MODEL = Path(__file__).parent / "orders_model.c"
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{mm.get_include()}"]


def compiler(variable, *names):
    configured = shlex.split(sysconfig.get_config_var(variable) or "")[:1]
    found = next(filter(None, map(shutil.which, [*configured, *names])), None)
    return found or pytest.skip(f"needs a compiler ({', '.join(names)})")


def run(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True)


def model(tmp_path, *flags):
    program = tmp_path / "model"
    made = run(compiler("CC", "cc", "gcc", "clang"), "-std=c11", *STRICT, *flags, MODEL, "-o", program)
    assert made.returncode == 0, made.stderr
    return program


def test_no_interleaving_to_a_depth_of_seven_passes_the_limit(tmp_path):
    done = run(model(tmp_path, "-O2"), 7)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 100_000


def test_the_model_runs_clean_under_sanitizers(tmp_path):
    empty = tmp_path / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    cc = compiler("CC", "cc", "gcc", "clang")
    if run(cc, *flags, empty, "-o", tmp_path / "empty").returncode or run(tmp_path / "empty").returncode:
        pytest.skip("this compiler has no sanitizers")
    done = run(model(tmp_path, *flags), 5)
    assert done.returncode == 0, done.stderr


BROKEN = {
    "an amend counts its new size only": (
        "if ((x->pending & MM_PENDING_AMEND) && x->new_size > size)",
        "if (x->pending & MM_PENDING_AMEND)",
    ),
    "a canceled order stops counting when the cancel is sent": (
        "x->cancel_sent = now;",
        "x->cancel_sent = now;\n  x->size = x->filled;",
    ),
    "new orders are not checked": ("> o->settings.max_exposure - w->size)", "> MM_LOTS_LIMIT)"),
    "no cancel is set aside": ("2 + mm_orders_cancelable(o), due", "1, due"),
    "own orders may meet": ("if (mm_prices_meet(side, w->price, x->price) ||", "if (0 ||"),
}


@pytest.mark.parametrize("fault", BROKEN, ids=lambda name: name.replace(" ", "-"))
def test_the_model_finds_planted_faults(tmp_path, fault):
    right, wrong = BROKEN[fault]
    include = tmp_path / "mmcore"
    shutil.copytree(Path(mm.get_include()) / "mmcore", include)
    text = (include / "orders.h").read_text()
    assert text.count(right) == 1
    (include / "orders.h").write_text(text.replace(right, wrong))
    program = tmp_path / "broken"
    cc = compiler("CC", "cc", "gcc", "clang")
    made = run(cc, "-std=c11", "-O2", "-w", f"-I{tmp_path}", MODEL, "-o", program)
    assert made.returncode == 0, made.stderr
    done = run(program, 6)
    assert done.returncode == 1, "not found"


def test_the_header_is_valid_cplusplus(tmp_path):
    source = tmp_path / "orders.cpp"
    source.write_text('#include <mmcore/orders.h>\nstatic_assert(sizeof(mm_action) == 40, "the record");\n')
    made = run(
        compiler("CXX", "c++", "g++", "clang++"), "-std=c++17", *STRICT, "-c", source, "-o", tmp_path / "o"
    )
    assert made.returncode == 0, made.stderr
