"""Runs the executed truth of the notes: each checks.py, each code block of the articles, each figure, each card check.

    python check_notes.py ROOT [TOPIC ...]

Every unit runs in a process forked after the libraries were imported, so that one crash costs one unit and no import is
paid twice. Prints a line per failure with file:line, and last `N passed, N failed`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import numpy  # noqa: E402
import scipy.special  # noqa: E402, F401
import sklearn.metrics  # noqa: E402, F401
import torch  # noqa: E402
import torch.nn  # noqa: E402, F401
import torchvision_operators  # noqa: E402, F401
import yaml  # noqa: E402

import figure_style  # noqa: E402
import note_checks  # noqa: E402

LANGUAGES = ("en", "zh-cn")
TIME_LIMIT = 120
torch.set_num_threads(1)


@dataclass(frozen=True)
class Block:
    """A code block of an article and what the article says it prints."""

    language: str
    code: str
    output: str | None
    line: int


def blocks_of(text: str) -> list[Block]:
    """The python and cpp blocks of an article, each with the `output` block that follows it."""
    fence = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```\s*$", re.M | re.S)
    found: list[Block] = []
    for match in fence.finditer(text):
        kind, body = match[1], match[2]
        if kind in ("python", "cpp"):
            found.append(Block(kind, body, None, text.count("\n", 0, match.start()) + 1))
        elif kind == "output" and found and found[-1].output is None:
            last = found[-1]
            found[-1] = Block(last.language, last.code, body, last.line)
    return found


def prose_of(text: str) -> str:
    """An article without its code fences."""
    return re.sub(r"^```.*?^```\s*$", "", text, flags=re.M | re.S)


def formulas_of(text: str) -> list[str]:
    """The display formulas of an article in order, normalised."""
    return [note_checks.normalised(match[1]) for match in re.finditer(r"\$\$(.+?)\$\$", prose_of(text), re.S)]


def sections_of(text: str) -> dict[str, str]:
    """The `##` headings of an article, each with the prose below it."""
    parts = (part.partition("\n") for part in re.split(r"^## ", prose_of(text), flags=re.M)[1:])
    return {title.strip(): body for title, _, body in parts}


def headings_of(section: str) -> list[str]:
    return re.findall(r"^### (.+?)\s*$", section, re.M)


def pitfalls_of(text: str) -> list[str]:
    """The headings of the pitfalls of en.md."""
    return headings_of(sections_of(text).get("Pitfalls", ""))


def entries_of(text: str) -> list[str]:
    """The first cells of the tables of en.md that say what is true (facts, when to use it) and its questions."""
    sections = sections_of(text)
    tables = [
        table
        for title in ("In one line", "When to use it")
        for table in re.findall(r"(?:^\|.*\n?)+", sections.get(title, ""), re.M)
    ]
    cells = [plain_cell(row.split("|")[1]) for table in tables for row in table.strip().splitlines()[2:]]
    return cells + headings_of(sections.get("Questions", ""))


def plain_cell(cell: str) -> str:
    """A cell without bold marks, a link as its words."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell).replace("**", "").strip()


def without_comments(code: str) -> str:
    lines = (re.sub(r"\s*(#|//) .*$", "", line) for line in code.splitlines())
    return "\n".join(line for line in lines if line.strip())


def isolated(work: Callable[[], None]) -> str | None:
    """Runs `work` in a forked process; returns None, or the reason it failed."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        os.setsid()
        signal.alarm(TIME_LIMIT)
        reason = ""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the parent reports whatever it was
            frames = traceback.extract_tb(error.__traceback__)
            place = next((frame for frame in reversed(frames) if "/resources/" in frame.filename), None)
            where = f" (line {place.lineno}: {place.line})" if place else ""
            reason = f"{type(error).__name__}: {error}{where}" or "failed"
        with os.fdopen(writer, "w") as pipe:
            pipe.write(reason[:50_000])  # more would not fit into the pipe before the parent reads
        os._exit(0)
    os.close(writer)
    # A process that the unit started and left behind holds the pipe open: the unit's own end decides, then its whole group ends.
    _, status = os.waitpid(process, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)
    with os.fdopen(reader) as pipe:
        reason = pipe.read()
    if status != 0:
        return f"the process ended with status {status} (time limit {TIME_LIMIT} s)"
    return reason or None


def seeded() -> None:
    import random

    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


def printed_by_python(code: str) -> str:
    seeded()
    buffer = io.StringIO()
    with contextlib.redirect_stdout(buffer):
        exec(compile(code, "<article>", "exec"), {"__name__": "__main__"})
    return buffer.getvalue()


def printed_by_cpp(code: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "main.cpp"), Path(folder, "main")
        source.write_text(code)
        subprocess.run(["g++", "-std=c++17", "-O1", "-Wall", "-o", program, source], check=True, capture_output=True)
        return subprocess.run([program], check=True, capture_output=True, text=True, timeout=20).stdout


def trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def run_block(block: Block) -> None:
    if block.output is None:
        raise AssertionError("the code block is not followed by an ```output block")
    printed = printed_by_python(block.code) if block.language == "python" else printed_by_cpp(block.code)
    if trimmed(printed) != trimmed(block.output):
        raise AssertionError(f"prints\n{trimmed(printed)}\nthe article says\n{trimmed(block.output)}")


def load(path: Path, source: str | None = None) -> None:
    """Executes a checks.py or figure.py, or a changed text of it, as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"note_{abs(hash(path))}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    if source is None:
        spec.loader.exec_module(module)
    else:
        exec(compile(source, str(path), "exec"), module.__dict__)


Unit = tuple[str, Callable[[], None]]


def check_units(path: Path, subject: note_checks.Subject) -> list[Unit]:
    """Registers a checks.py and returns its checks, each seeded alike."""
    note_checks.subject.__dict__.update(subject.__dict__)
    try:
        load(path)
    except BaseException as error:  # noqa: BLE001 - a checks.py that does not load is one failure
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = frames[-1].lineno if frames else 1
        reason = f"{type(error).__name__}: {error}"

        def failed() -> None:
            raise AssertionError(reason)

        return [(f"{path}:{line}: loads", failed)]

    def unit(name: str, check: note_checks.Check) -> Unit:
        def run() -> None:
            # By now another topic may have been loaded: the check speaks of its own.
            note_checks.subject.__dict__.update(subject.__dict__)
            seeded()
            check()

        return (f"{path}: {name}", run)

    registered = list(note_checks.subject.checks)
    if not registered:
        return [(f"{path}: has checks", lambda: (_ for _ in ()).throw(AssertionError("registers no check")))]
    return [unit(name, check) for name, check in registered]


def claims_unit(folder: Path, formulas: dict[str, list[str]], claimed: set[str]) -> Unit:
    def run() -> None:
        assert formulas["en"] == formulas["zh-cn"], "en.md and zh-cn.md do not show the same display formulas in order"
        for tex in formulas["en"]:
            assert tex in claimed, f"no check claims the display formula {tex}"

    return (f"{folder / 'checks.py'}: claims every display formula", run)


def settled_unit(folder: Path, name: str, shown: list[str], claimed: set[str]) -> Unit:
    """Fails for what en.md shows and nothing claims, and for a claim of what it does not show."""

    def run() -> None:
        assert not set(shown) - claimed, f"nothing in checks.py stands for {set(shown) - claimed}"
        assert not claimed - set(shown), f"en.md has no {claimed - set(shown)}"

    return (f"{folder / 'checks.py'}: {name}", run)


def backed_entries() -> dict[str, set[str]]:
    """What backs the entries of the topic just loaded; one that is executed and sourced counts as executed."""
    executed, defined, told = (
        set(names) for names in (note_checks.subject.held, note_checks.subject.defined, note_checks.subject.sourced)
    )
    return {"executed": executed, "by definition": defined - executed, "sourced": told - defined - executed}


def numbers_within(first: str, second: str, tolerance: float) -> bool:
    pattern = r"-?\d+(?:\.\d+)?"
    if re.sub(pattern, "#", first) != re.sub(pattern, "#", second):
        return False
    pairs = zip(re.findall(pattern, first), re.findall(pattern, second), strict=True)
    return all(abs(float(a) - float(b)) <= tolerance for a, b in pairs)


def figure_units(folder: Path) -> list[Unit]:
    script = folder / "figure.py"
    if not script.exists():
        return []

    def run() -> None:
        figure_style.figures.clear()
        load(script)
        drawn = {file.name for file in folder.glob("figure-*.svg")}
        assert set(figure_style.figures) == drawn, (
            f"figure.py draws {sorted(figure_style.figures)}, the folder holds {sorted(drawn)}"
        )
        for file, draw in figure_style.figures.items():
            seeded()
            assert numbers_within(figure_style.svg_of(draw), (folder / file).read_text(), 1.0), (
                f"{file} is not what figure.py draws"
            )

    return [(f"{script}: figures are up to date", run)]


def topic_units(folder: Path) -> list[Unit]:
    texts = {language: (folder / f"{language}.md").read_text() for language in LANGUAGES}
    formulas = {language: formulas_of(text) for language, text in texts.items()}
    blocks = {language: blocks_of(text) for language, text in texts.items()}
    units: list[Unit] = []
    subject = note_checks.Subject(texts=texts, formulas=formulas)
    units += check_units(folder / "checks.py", subject)
    units.append(claims_unit(folder, formulas, set(note_checks.subject.claimed)))
    units.append(
        settled_unit(folder, "executes every pitfall", pitfalls_of(texts["en"]), set(note_checks.subject.settled))
    )
    backed = set().union(*backed_entries().values())
    units.append(settled_unit(folder, "backs every table row and answer", entries_of(texts["en"]), backed))

    def same_code() -> None:
        english, chinese = ([without_comments(block.code) for block in blocks[language]] for language in LANGUAGES)
        assert english == chinese, "the code blocks differ between the languages in more than comments"
        assert [b.output for b in blocks["en"]] == [b.output for b in blocks["zh-cn"]], (
            "the printed outputs differ between the languages"
        )

    units.append((f"{folder / 'zh-cn.md'}: has the code of en.md", same_code))
    for block in blocks["en"]:
        units.append(
            (f"{folder / 'en.md'}:{block.line}: code block prints what it says", lambda block=block: run_block(block))
        )
    return units + figure_units(folder)


def card_units(root: Path) -> list[Unit]:
    units: list[Unit] = []
    for script in sorted((root / "symbols" / "checks").glob("*.py")):
        source = root / "symbols" / f"{script.stem}.yaml"
        entries: list[dict[str, Any]] = yaml.safe_load(source.read_text())
        cards = {symbol: entry for entry in entries for symbol in entry["symbols"]}
        subject = note_checks.Subject(cards=cards)
        units += check_units(script, subject)
        claimed = set(note_checks.subject.claimed)

        def every_formula(entries: list[dict[str, Any]] = entries, claimed: set[str] = claimed) -> None:
            missing = [
                entry["symbols"][0] for entry in entries if "formula" in entry and not claimed & set(entry["symbols"])
            ]
            assert not missing, f"no check claims the cards of {', '.join(missing)}"

        units.append((f"{script}: claims every card with a formula", every_formula))
    return units


def main(root: Path, wanted: list[str]) -> int:
    folders = sorted(file.parent for file in root.glob("notes/**/checks.py"))
    units: list[Unit] = [] if wanted and wanted != ["cards"] else card_units(root)
    entries: Counter[str] = Counter()
    for folder in folders:
        if not wanted or folder.name in wanted:
            units += topic_units(folder)
            entries.update({kind: len(names) for kind, names in backed_entries().items()})
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        reasons = list(pool.map(lambda unit: isolated(unit[1]), units))
    failures = [(name, reason) for (name, _), reason in zip(units, reasons, strict=True) if reason]
    for name, reason in failures:
        print(f"{os.path.relpath(name)}: {reason}")
    summary = {"topics": len(folders), "units": len(units), "table rows and answers": entries}
    print(json.dumps(summary))
    print(f"{len(units) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures or not units else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
