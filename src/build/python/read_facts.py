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
import pkgutil
import sys
import typing
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
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
    # What stands behind an internal parameter is never given by position.
    hidden = False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls") or parameter.name.startswith("_"):
            hidden = hidden or parameter.name.startswith("_")
            continue
        entry: Facts = {"name": parameter.name}
        if parameter.default is not inspect.Parameter.empty:
            entry["default"] = default_text(parameter.default)
        if parameter.kind in kinds:
            entry["kind"] = kinds[parameter.kind]
        elif hidden:
            entry["kind"] = "keyword"
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
    def definitions(body: list[ast.stmt]) -> dict[str, list[ast.FunctionDef]]:
        """The overloads of each function."""
        found: dict[str, list[ast.FunctionDef]] = {}
        for node in body:
            if isinstance(node, ast.FunctionDef):
                found.setdefault(node.name, []).append(node)
        return found

    def facts(self, symbol: str) -> Facts:
        owner, _, name = symbol.rpartition(".")
        is_method = owner == "torch.Tensor"
        nodes = (self.methods if is_method else self.functions).get(name)
        if nodes is None or owner not in ("torch.Tensor", "torch", "torch.nn.functional"):
            return {}
        overloads = [self.parameters(node.args, is_method) for node in nodes]
        chosen = self.usual(overloads)
        facts: Facts = {"parameters": overloads[chosen]}
        positional = [[parameter for parameter in each if parameter.get("kind") != "keyword"] for each in overloads]
        if any(each != positional[0] for each in positional):
            facts["overloads"] = [each for at, each in enumerate(positional) if each not in positional[:at]]
        returns = nodes[chosen].returns
        if returns is not None and ast.unparse(returns) == "Tensor":
            facts["returns"] = "torch.Tensor"
        return facts

    @staticmethod
    def usual(overloads: list[list[Facts]]) -> int:
        """The overload to speak of: the first one, but not a form (all deprecated) that takes a factor before the input."""
        starts = [each[0]["name"] if each else "" for each in overloads]
        return starts.index("input") if "input" in starts else 0

    @staticmethod
    def parameters(arguments: ast.arguments, is_method: bool) -> list[Facts]:
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
        found = [(argument, default, None) for argument, default in zip(positional, defaults, strict=True)]
        if arguments.vararg:
            found.append((arguments.vararg, None, "variadic"))
        found += [
            (argument, default, "keyword")
            for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        ]
        entries = []
        for argument, default, kind in found[1:] if is_method else found:
            # Stubs of functions say `self` here and there for what is the input everywhere else.
            entry: Facts = {"name": "input" if argument.arg == "self" else argument.arg}
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
        return (
            "property"
            if isinstance(inspect.getattr_static(owner, symbol.rpartition(".")[2], None), property)
            or not callable(value)
            else "method"
        )
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


@dataclass(frozen=True)
class Held:
    """An object as a module of a library holds it."""

    path: str
    library: str
    # Whether the module lists it in `__all__`: then it may be another library's.
    offered: bool


def held_names() -> dict[int, list[Held]]:
    """Under which names the loaded modules of the libraries hold which objects."""
    found: dict[int, list[Held]] = {}
    for name, module in sorted(sys.modules.items()):
        library = name.partition(".")[0]
        if module is not None and library in LIBRARIES:
            offered = set() if "._" in name else {*vars(module).get("__all__", ())}
            for key, value in sorted(vars(module).items()):
                found.setdefault(id(value), []).append(Held(f"{name}.{key}", library, key in offered))
    return found


def aliases_of(symbol: str, value: Any, listed: set[str], held: dict[int, list[Held]]) -> list[str]:
    """Paths at which the same object is found: through the packages on the way to the defining module, and in modules that import it."""
    module = getattr(value, "__module__", None)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return []
    name = symbol.rpartition(".")[2]
    parts = module.split(".") if isinstance(module, str) else []
    paths = [
        path for path in (".".join([*parts[:cut], name]) for cut in range(1, len(parts) + 1)) if resolved(path) is value
    ]
    library = symbol.partition(".")[0]
    elsewhere = [each.path for each in held.get(id(value), []) if each.library == library or each.offered]
    return [path for path in [*paths, *elsewhere] if path not in listed]


def module_aliases(library: ModuleType, listed: set[str]) -> dict[str, str]:
    """Public names of a library for modules of its own that are called otherwise and hold symbols: `torch.torch`."""
    found = {
        f"{library.__name__}.{key}": value.__name__
        for key, value in vars(library).items()
        if isinstance(value, ModuleType) and key[0] != "_"
    }
    own = {path: name for path, name in found.items() if path != name and name.partition(".")[0] == library.__name__}
    return {path: name for path, name in own.items() if any(symbol.startswith(f"{name}.") for symbol in listed)}


def read(root: Path) -> dict[str, Facts]:
    """The contents of each signature file."""
    symbols = wanted_symbols(root)
    listed = set(symbols)
    values = {symbol: resolved(symbol) for symbol in symbols}
    names = {id(value): symbol for symbol, value in reversed(list(values.items())) if inspect.isclass(value)}
    stubs = Stubs()
    for package in (torch.nn, torch.optim):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    held = held_names()
    files: dict[str, Facts] = {
        name: {
            "library": name,
            "version": library.__version__.partition("+")[0],
            "symbols": {},
            "aliases": module_aliases(library, listed),
        }
        for name, library in LIBRARIES.items()
    }
    files["python"] = {"library": "python", "version": "3", "symbols": {}, "aliases": {}}
    for symbol, value in values.items():
        first = symbol.partition(".")[0]
        name = first if first in LIBRARIES else "python" if first in sys.stdlib_module_names else None
        if value is None or name is None:
            continue
        files[name]["symbols"][symbol] = facts_of(symbol, value, names, stubs)
        for alias in aliases_of(symbol, value, listed, held):
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
            print(
                f"{file.name}: {len(facts['symbols'])} symbols, {len(facts['aliases'])} aliases of version {facts['version']}"
            )
        elif not file.exists() or file.read_text() != text:
            failures += 1
            print(f"{file}: differs from what the installed {name} {facts['version']} says; run npm run facts")
    if check:
        print(f"{len(files) - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), "--check" in sys.argv[2:]))
