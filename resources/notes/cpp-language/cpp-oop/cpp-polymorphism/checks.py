import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from note_checks import check, formula, stated

OBJECT = r"\mathrm{sizeof} = 8n + 8\,[v > 0] \ \text{bytes}"
TABLE = r"T = 8\,(v + 2) \ \text{bytes}"


def compiled(code, *options):
    """(messages of g++ or None, printed text, symbol sizes) of a program."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "main.cpp"), Path(folder, "main")
        source.write_text(code)
        done = subprocess.run(["g++", "-std=c++17", *options, "-o", program, source], capture_output=True, text=True)
        if done.returncode:
            return done.stderr, "", {}
        symbols = subprocess.run(["nm", "-S", program], capture_output=True, text=True).stdout.split("\n")
        sizes = {parts[3]: int(parts[1], 16) for line in symbols if len(parts := line.split()) == 4}
        printed = subprocess.run([program], capture_output=True, text=True, timeout=20).stdout
        return done.stderr, printed, sizes


CASES = [(n, v) for n in (1, 2, 5) for v in (0, 1, 3, 10)]


def class_of(n, v, extra=""):
    members = " ".join(f"double m{i};" for i in range(n))
    functions = " ".join(f"virtual void f{i}();" for i in range(v))
    name = f"C{n}_{v}{'D' if extra else ''}"
    bodies = "\n".join(f"void {name}::f{i}() {{}}" for i in range(v))
    return name, f"struct {name} {{ {members} {functions} {extra} }};\n{bodies}\n{name} object_{name};\n"


@formula(OBJECT, TABLE)
def check_sizes():
    made = [class_of(n, v) for n, v in CASES] + [class_of(2, 3, "virtual ~C2_3D() {}")]
    prints = " ".join(f'std::printf("%zu\\n", sizeof({name}));' for name, _ in made)
    messages, printed, sizes = compiled("#include <cstdio>\n" + "".join(code for _, code in made) + f"int main() {{ {prints} }}", "-O0")
    objects = [int(line) for line in printed.split()]
    assert objects[:-1] == [8 * n + 8 * (v > 0) for n, v in CASES], messages
    tables = {(n, v): next((size for symbol, size in sizes.items() if symbol.startswith("_ZTV") and symbol.endswith(f"C{n}_{v}")), 0) for n, v in CASES}
    assert tables == {(n, v): 8 * (v + 2) if v else 0 for n, v in CASES}
    assert next(size for symbol, size in sizes.items() if symbol.endswith("C2_3D") and symbol.startswith("_ZTV")) == 8 * (3 + 2 + 2)
    stated("24", objects[CASES.index((2, 1))])
    stated("96", tables[2, 10])
    stated("8,000,000", (objects[CASES.index((2, 1))] - objects[CASES.index((2, 0))]) * 1_000_000)


@check
def check_destructor_warning():
    code = "struct B { virtual void f() {} }; struct D : B {}; int main() { B* b = new D; delete b; }"
    assert "-Wdelete-non-virtual-dtor" in compiled(code, "-Wall")[0]
    assert compiled(code.replace("{ virtual", "{ virtual ~B() = default; virtual"), "-Wall")[0] == ""


@check
def check_unique_pointer_deletes_without_warning():
    code = "#include <memory>\nstruct B { virtual void f() {} }; struct D : B {}; int main() { std::unique_ptr<B> b = std::make_unique<D>(); }"
    assert compiled(code, "-Wall")[0] == ""


@check
def check_constructor_and_cast():
    code = """
#include <cstdio>
#include <memory>
struct B { B() { std::printf("%d", id()); } virtual ~B() = default; virtual int id() const { return 1; } };
struct D : virtual B { int id() const override { return 2; } };
int main() { std::shared_ptr<B> b = std::make_shared<D>(); std::printf("%d", b->id());
  std::printf("%d", CAST<D>(b)->id()); }
"""
    assert compiled(code.replace("CAST", "std::dynamic_pointer_cast"))[1] == "122"
    assert "the base is virtual" in compiled(code.replace("CAST", "std::static_pointer_cast"))[0]


@check
def check_libtorch_inherits_without_virtual():
    headers = Path(find_spec("torch").origin).parent / "include/torch/csrc/api/include/torch/nn"
    assert "class Cloneable : public Module {" in (headers / "cloneable.h").read_text()
    assert "forward(" not in (headers / "module.h").read_text().split("class TORCH_API Module", 1)[1].replace("_forward", "")


@check
def check_questions():
    for bad in (
        "struct A { virtual A(); }; int main() {}",
        "struct A { template <class T> virtual void f(T) {} }; int main() {}",
        "struct A { virtual void f() = 0; }; int main() { A a; }",
        "struct A { virtual void f() = 0; }; struct B : A {}; int main() { B b; }",
        "struct A { virtual void f() = 0; }; void g(A a) {} int main() {}",
        "struct A { virtual void f() = 0; }; struct B : A { void f() override {} }; int main() { B b; A a; }",
    ):
        assert "error" in compiled(bad)[0], bad
    assert compiled("struct A { virtual void f() = 0; }; struct B : A { void f() override {} }; int main() { B b; b.f(); }")[0] == ""
    assert "undefined reference" in compiled("template <class T> T f(T); int main() { return f(0); }")[0]
