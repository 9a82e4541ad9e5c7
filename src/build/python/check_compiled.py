"""Holds the articles' re-implementations to torchvision's compiled operators.

    python check_compiled.py ROOT

torchvision's wheel is linked against another build of PyTorch than the pinned one (see torchvision_operators), so its compiled
operators run in a second environment whose torch and torchvision belong together; Debian's python3-torchvision is one. Each
`checks_compiled.py` beside a note imports from the note's `checks` what it compares. Runs each in a process of its own, prints the
versions used and last `N passed, N failed`.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
import torchvision

import note_checks


def run(folder: Path) -> int:
    """The number of failed checks of one topic; each failure is printed."""
    # Without texts: which formulas an article shows is checked in the first environment.
    sys.path.insert(0, str(folder))
    importlib.import_module("checks")
    note_checks.subject.checks.clear()
    importlib.import_module("checks_compiled")
    failed = 0
    for name, check in note_checks.subject.checks:
        torch.manual_seed(0)
        try:
            check()
        except Exception:  # noqa: BLE001 - reported, the other checks go on
            failed += 1
            print(f"{folder}/checks_compiled.py: {name}: {traceback.format_exc(limit=-1)}", flush=True)
    return failed


def main(root: Path) -> int:
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}", flush=True)
    passed = failed = 0
    for script in sorted(root.glob("notes/**/checks_compiled.py")):
        expected = script.read_text().count("\n@check\n")
        process = os.fork()
        if process == 0:
            os._exit(min(run(script.parent), 100))
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        here = expected if status < 0 or status > expected else status
        failed += here
        passed += expected - here
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
