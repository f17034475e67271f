"""Coverage-guided fuzzing of everything that reads bytes and of everything that keeps state.

``targets`` says what is fuzzed: a function of some bytes, which must pass or refuse with an error of
:mod:`mmcore.errors`. ``python -m fuzz`` gives each of them to libFuzzer (package ``atheris``), which sees the
branches of the Python code by instrumenting its bytecode and those of the compiled code by ``coverage.c``.
``make fuzz`` builds the compiled code for it, under AddressSanitizer; the tests give the kept inputs of
``fuzz/corpus`` to the ordinary build.
"""
