"""Programs that the checks of the notes build and run apart from their own process: C++, libtorch, and ranks of PyTorch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from resource import RLIMIT_STACK, setrlimit

import numpy as np
import torch

_LIBTORCH = Path(torch.__file__).parent
#: Options of g++ for a program that uses the installed libtorch; building one takes about ten seconds.
LIBTORCH = (
    "-std=c++20",
    "-w",
    *(f"-I{_LIBTORCH / folder}" for folder in ("include", "include/torch/csrc/api/include")),
    f"-L{_LIBTORCH / 'lib'}",
    f"-Wl,-rpath,{_LIBTORCH / 'lib'}",
    "-ltorch",
    "-ltorch_cpu",
    "-lc10",
)


def compiled(code: str, *options: str) -> tuple[str, str | None]:
    """What g++ reports, and what the program prints (None if it does not build, or was only checked with `-fsyntax-only`)."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "main.cpp"), Path(folder, "main")
        source.write_text(code)
        # The libraries follow the source: the linker takes from them what is missing by then.
        built = subprocess.run(
            ["g++", "-std=c++17", "-pthread", "-o", program, source, *options], capture_output=True, text=True
        )
        if built.returncode or not program.exists():
            return built.stderr, None
        return built.stderr, subprocess.run([program], capture_output=True, text=True, timeout=60).stdout


def ended(*sources: str) -> tuple[int, str]:
    """How the program of several source files ends (its exit status, or minus a signal), and what it prints; its stack has 8 MiB."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{number}.cpp") for number, _ in enumerate(sources)]
        for file, source in zip(files, sources):
            file.write_text(source)
        program = Path(folder, "main")
        subprocess.run(["g++", "-std=c++17", "-o", program, *files], check=True, capture_output=True)
        limit = lambda: setrlimit(RLIMIT_STACK, (8 * 2**20, 8 * 2**20))
        done = subprocess.run([program], capture_output=True, text=True, timeout=20, preexec_fn=limit)
        return done.returncode, done.stdout


def printed_by_ranks(program: str, *arguments: object) -> np.ndarray:
    """The nested list of numbers that a Python program prints which starts ranks of its own.

    Forking ranks from a thread of a test runner is not safe, hence a program. Its whole process group is ended after a time,
    so that a stuck rank cannot hold the check.
    """
    command = [sys.executable, "-c", program, *map(str, arguments)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, errors = process.communicate(timeout=50)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    assert process.returncode == 0, errors
    return np.array(json.loads(out))
