"""Reads facts about the symbols of the cards and topics from the installed libraries.

    python read_facts.py ROOT          writes ROOT/symbols/signatures/*.json
    python read_facts.py ROOT --check  fails where what is checked in differs

For each symbol: what it is, its parameters with the source text of their defaults, the documented classes it inherits from, the
class that a call gives, and the other paths under which its library offers the very same object.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import json
import sys
import typing
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
warnings.simplefilter("ignore")

import numpy  # noqa: E402
import scipy  # noqa: E402
import sklearn  # noqa: E402
import torch  # noqa: E402
import torchvision_operators  # noqa: E402, F401
import torchvision  # noqa: E402
import yaml  # noqa: E402

LIBRARIES = {"torch": torch, "torchvision": torchvision, "sklearn": sklearn, "numpy": numpy, "scipy": scipy}
Facts = dict[str, Any]


def wanted_symbols(root: Path) -> list[str]:
    """Every symbol that has a card or belongs to a topic."""
    found: set[str] = set()
    for file in root.glob("notes/*/*/*/topic.yaml"):
        found.update(yaml.safe_load(file.read_text())["symbols"])
    for file in root.glob("symbols/*.yaml"):
        entries = yaml.safe_load(file.read_text())
        if isinstance(entries, list):
            found.update(symbol for entry in entries for symbol in entry["symbols"])
    return sorted(found)


def resolved(path: str) -> Any:
    """The object at a dotted path; None where the installed version has none. A function hides a module of its name."""
    first, *rest = path.split(".")
    try:
        found: Any = importlib.import_module(first)
        for depth, part in enumerate(rest, start=2):
            if not hasattr(found, part):
                importlib.import_module(".".join([first, *rest][:depth]))
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return None
    return found


def default_text(value: Any) -> str:
    """A default as a reader would write it."""
    if isinstance(value, float) and value == value:
        return repr(value)
    if inspect.isclass(value) or inspect.isroutine(value):
        return value.__name__
    text = repr(value)
    return "…" if " at 0x" in text or len(text) > 40 else text


def parameters_of(signature: inspect.Signature) -> list[Facts]:
    kinds = {
        inspect.Parameter.KEYWORD_ONLY: "keyword",
        inspect.Parameter.VAR_POSITIONAL: "variadic",
        inspect.Parameter.VAR_KEYWORD: "variadic-keyword",
    }
    found = []
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls") or parameter.name.startswith("_"):
            continue
        entry: Facts = {"name": parameter.name}
        if parameter.default is not inspect.Parameter.empty:
            entry["default"] = default_text(parameter.default)
        if parameter.kind in kinds:
            entry["kind"] = kinds[parameter.kind]
        found.append(entry)
    return found


def signature_of(symbol: str, value: Any) -> inspect.Signature:
    """The signature that callers see: of a dispatcher over several functions, the function it stands for by default."""
    signature = inspect.signature(value)
    if [*signature.parameters][-2:] != ["args", "kwargs"]:
        return signature
    overloads = typing.get_overloads(value.__init__) if inspect.isclass(value) else []
    if overloads:
        return inspect.signature(overloads[0])
    owner, _, name = symbol.rpartition(".")
    dispatched = getattr(resolved(owner), f"_{name}", None) if owner == "torch.nn.functional" else None
    return inspect.signature(dispatched) if inspect.isfunction(dispatched) else signature


class Stubs:
    """Signatures of what PyTorch implements in C++, from the stub files that ship with it."""

    def __init__(self) -> None:
        folder = Path(torch.__file__).parent / "_C"
        functions = ast.parse((folder / "_VariableFunctions.pyi").read_text())
        classes = ast.parse((folder / "__init__.pyi").read_text())
        self.functions = self.definitions(functions.body)
        base = next(node for node in classes.body if isinstance(node, ast.ClassDef) and node.name == "TensorBase")
        self.methods = self.definitions(base.body)

    @staticmethod
    def definitions(body: list[ast.stmt]) -> dict[str, ast.FunctionDef]:
        """The first overload of each function."""
        found: dict[str, ast.FunctionDef] = {}
        for node in body:
            if isinstance(node, ast.FunctionDef):
                found.setdefault(node.name, node)
        return found

    def facts(self, symbol: str) -> Facts:
        owner, _, name = symbol.rpartition(".")
        node = (self.methods if owner == "torch.Tensor" else self.functions).get(name)
        if node is None or owner not in ("torch.Tensor", "torch", "torch.nn.functional"):
            return {}
        facts: Facts = {"parameters": self.parameters(node.args)}
        if node.returns is not None and ast.unparse(node.returns) == "Tensor":
            facts["returns"] = "torch.Tensor"
        return facts

    @staticmethod
    def parameters(arguments: ast.arguments) -> list[Facts]:
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
        found = [(argument, default, None) for argument, default in zip(positional, defaults, strict=True)]
        if arguments.vararg:
            found.append((arguments.vararg, None, "variadic"))
        found += [(argument, default, "keyword") for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
        entries = []
        for argument, default, kind in found:
            if argument.arg == "self":
                continue
            entry: Facts = {"name": argument.arg}
            if default is not None:
                entry["default"] = ast.unparse(default)
            if kind:
                entry["kind"] = kind
            entries.append(entry)
        return entries


def kind_of(symbol: str, value: Any) -> str:
    if inspect.isclass(value):
        return "class"
    owner = resolved(symbol.rpartition(".")[0])
    if inspect.isclass(owner):
        return "property" if isinstance(inspect.getattr_static(owner, symbol.rpartition(".")[2], None), property) or not callable(value) else "method"
    return "function" if callable(value) else "value"


def returned(signature: inspect.Signature) -> str | None:
    """The class that a call gives, as far as the annotation says it and the resolver can use it."""
    text = str(signature.return_annotation)
    if signature.return_annotation is torch.Tensor or text in ("Tensor", "torch.Tensor"):
        return "torch.Tensor"
    return "self" if text in ("~T", "T", "Self", "typing.Self", "typing_extensions.Self") else None


def facts_of(symbol: str, value: Any, names: dict[int, str], stubs: Stubs) -> Facts:
    facts: Facts = {"kind": kind_of(symbol, value)}
    if not symbol.startswith(tuple(f"{name}." for name in LIBRARIES)):
        return facts  # Python's own library changes its signatures from version to version.
    try:
        signature = signature_of(symbol, value)
    except (TypeError, ValueError):
        facts.update(stubs.facts(symbol))
    else:
        parameters = parameters_of(signature)
        if [parameter["name"] for parameter in parameters] != ["args", "kwargs"]:
            facts["parameters"] = parameters
        if not inspect.isclass(value) and (gives := returned(signature)):
            facts["returns"] = gives
    if inspect.isclass(value):
        bases = [names[id(base)] for base in value.__mro__[1:] if id(base) in names]
        if bases:
            facts["bases"] = bases
    return facts


def aliases_of(symbol: str, value: Any, listed: set[str]) -> list[str]:
    """Paths through the packages on the way to the defining module at which the same object is found."""
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or not (inspect.isclass(value) or inspect.isroutine(value)):
        return []
    name = symbol.rpartition(".")[2]
    parts = module.split(".")
    paths = [".".join([*parts[:cut], name]) for cut in range(1, len(parts) + 1)]
    return [path for path in paths if path not in listed and resolved(path) is value]


def read(root: Path) -> dict[str, Facts]:
    """The contents of each signature file."""
    symbols = wanted_symbols(root)
    listed = set(symbols)
    values = {symbol: resolved(symbol) for symbol in symbols}
    names = {id(value): symbol for symbol, value in reversed(list(values.items())) if inspect.isclass(value)}
    stubs = Stubs()
    files: dict[str, Facts] = {
        name: {"library": name, "version": library.__version__.partition("+")[0], "symbols": {}, "aliases": {}}
        for name, library in LIBRARIES.items()
    }
    files["python"] = {"library": "python", "version": "3", "symbols": {}, "aliases": {}}
    for symbol, value in values.items():
        first = symbol.partition(".")[0]
        name = first if first in LIBRARIES else "python" if first in sys.stdlib_module_names else None
        if value is None or name is None:
            continue
        files[name]["symbols"][symbol] = facts_of(symbol, value, names, stubs)
        for alias in aliases_of(symbol, value, listed):
            files[name]["aliases"][alias] = symbol
    assert hasattr(builtins, "id")
    return files


def main(root: Path, check: bool) -> int:
    failures = 0
    files = read(root)
    for name, facts in files.items():
        file = root / "symbols" / "signatures" / f"{name}.json"
        text = json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        if not check:
            file.write_text(text)
            print(f"{file.name}: {len(facts['symbols'])} symbols, {len(facts['aliases'])} aliases of version {facts['version']}")
        elif not file.exists() or file.read_text() != text:
            failures += 1
            print(f"{file}: differs from what the installed {name} {facts['version']} says; run npm run facts")
    if check:
        print(f"{len(files) - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), "--check" in sys.argv[2:]))
