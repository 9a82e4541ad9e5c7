import subprocess
import tempfile
from pathlib import Path

from note_checks import by_definition, check, formula, holds, pitfall, sourced, stated
from programs import LIBTORCH, compiled

OBJECT = r"\mathrm{sizeof} = 8n + 8\,[v > 0] \ \text{bytes}"
TABLE = r"T = 8\,(v + 2) \ \text{bytes}"

by_definition("Static", "Dynamic", "virtual functions", "templates", "overloads")
sourced(
    "Stroustrup, C++ FAQ (virtual constructors); The C++ Programming Language",
    "Can a constructor be virtual? A member template?",
)


def symbol_sizes(code):
    """The bytes of each symbol of a translation unit."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "main.cpp"), Path(folder, "main.o")
        source.write_text(code)
        subprocess.run(["g++", "-std=c++17", "-c", "-o", made, source], check=True)
        symbols = subprocess.run(["nm", "-S", made], capture_output=True, text=True).stdout.splitlines()
        return {parts[3]: int(parts[1], 16) for line in symbols if len(parts := line.split()) == 4}


CASES = [(n, v) for n in (1, 2, 5) for v in (0, 1, 3, 10)]


def class_of(n, v, extra=""):
    members = " ".join(f"double m{i};" for i in range(n))
    functions = " ".join(f"virtual void f{i}();" for i in range(v))
    name = f"C{n}_{v}{'D' if extra else ''}"
    bodies = "\n".join(f"void {name}::f{i}() {{}}" for i in range(v))
    return name, f"struct {name} {{ {members} {functions} {extra} }};\n{bodies}\n{name} object_{name};\n"


@formula(OBJECT, TABLE)
@holds("Cost of dynamic")
def check_sizes():
    made = [class_of(n, v) for n, v in CASES] + [class_of(2, 3, "virtual ~C2_3D() {}")]
    prints = " ".join(f'std::printf("%zu\\n", sizeof({name}));' for name, _ in made)
    code = "#include <cstdio>\n" + "".join(code for _, code in made) + f"int main() {{ {prints} }}"
    (messages, printed), sizes = compiled(code), symbol_sizes(code)
    objects = [int(line) for line in printed.split()]
    assert objects[:-1] == [8 * n + 8 * (v > 0) for n, v in CASES], messages
    tables = {
        (n, v): next(
            (size for symbol, size in sizes.items() if symbol.startswith("_ZTV") and symbol.endswith(f"C{n}_{v}")), 0
        )
        for n, v in CASES
    }
    assert tables == {(n, v): 8 * (v + 2) if v else 0 for n, v in CASES}
    assert next(
        size for symbol, size in sizes.items() if symbol.endswith("C2_3D") and symbol.startswith("_ZTV")
    ) == 8 * (3 + 2 + 2)
    stated("24", objects[CASES.index((2, 1))])
    stated("96", tables[2, 10])
    stated("8,000,000", (objects[CASES.index((2, 1))] - objects[CASES.index((2, 0))]) * 1_000_000)


@pitfall("Deleting through a base pointer is undefined behaviour")
@holds("Destructor")
def check_destructor():
    """Shown by what is lost: D's member is freed only if D's destructor runs."""
    code = """
#include <cstdio>
#include <memory>
struct Member { ~Member() { std::printf("freed"); } };
struct B { virtual void f() {} DESTRUCTOR };
struct D : B { Member member; };
int main() { DELETE }
"""
    raw, owned = "B* b = new D; delete b;", "std::unique_ptr<B> b = std::make_unique<D>();"
    for delete, warned in ((raw, True), (owned, False)):
        messages, printed = compiled(code.replace("DESTRUCTOR", "").replace("DELETE", delete), "-Wall")
        assert ("-Wdelete-non-virtual-dtor" in messages) is warned and printed == ""
        assert compiled(code.replace("DESTRUCTOR", "virtual ~B() = default;").replace("DELETE", delete), "-Wall") == (
            "",
            "freed",
        )
    shown = compiled(code.replace("DESTRUCTOR", "").replace("DELETE", owned), "-Wall", "-Wsystem-headers")[0]
    assert "-Wdelete-non-virtual-dtor" in shown and "unique_ptr.h" in shown
    plain = code.replace("virtual void f() {} DESTRUCTOR", "").replace("DELETE", raw)
    assert "-Wdelete-non-virtual-dtor" not in compiled(plain, "-Wall")[0]


@pitfall("The overridden function is not called: slicing")
def check_slicing():
    code = """
#include <cstdio>
#include <memory>
#include <vector>
struct Layer { virtual ~Layer() = default; virtual int id() const BODY };
struct Relu : Layer { int id() const override { return 2; } };
int by_value(Layer layer) { return layer.id(); }
int by_reference(CONSTANT Layer& layer) { return layer.id(); }
int by_pointer(const Layer* layer) { return layer->id(); }
int main() {
  std::vector<Layer> values; values.push_back(Relu());
  std::vector<std::unique_ptr<Layer>> owners; owners.push_back(std::make_unique<Relu>());
  Relu relu;
  std::printf("%d%d %d%d%d", by_value(relu), values[0].id(), by_reference(relu), by_pointer(&relu), owners[0]->id());
}
"""
    changing = code.replace("BODY", "{ return 1; }").replace("id() const", "id()").replace("const Layer*", "Layer*")
    assert compiled(changing.replace("CONSTANT", ""))[1] == "11 222"
    assert "discards qualifiers" in compiled(changing.replace("CONSTANT", "const"))[0]
    code = code.replace("CONSTANT", "const")
    assert compiled(code.replace("BODY", "{ return 1; }"))[1] == "11 222"
    abstract = code.replace("BODY", "= 0;")
    assert "abstract" in compiled(abstract)[0]
    by_value = [line for line in abstract.split("\n") if "by_value(Layer" in line][0]
    without = abstract.replace(by_value, "").replace("by_value(relu), values[0].id()", "0, 0")
    assert "abstract" in compiled(without)[0]  # the vector alone
    assert compiled(without.replace("std::vector<Layer> values; values.push_back(Relu());", ""))[1] == "00 222"


@pitfall("A virtual call in the constructor reaches the base version")
def check_virtual_call_in_constructor():
    code = """
#include <cstdio>
#include <memory>
struct B { int seen = 0; B() { CALL } virtual ~B() = default; void start() { seen = id(); } virtual int id() const { return 1; } };
struct D : B { int id() const override { return 2; } };
template <class T> std::unique_ptr<B> make() { auto made = std::make_unique<T>(); made->start(); return made; }
int main() { std::printf("%d %d", D().seen, make<D>()->seen); }
"""
    assert (
        compiled(code.replace("CALL", "start();"))[1] == "1 2"
        and compiled(code.replace("CALL", "seen = id();"))[1] == "1 2"
    )


@pitfall('"undefined reference" to a template')
def check_template_in_a_source_file():
    def linked(header, body, here=""):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "t.h").write_text(header)
            Path(folder, "t.cpp").write_text(f'#include "t.h"\n{body}')
            Path(folder, "main.cpp").write_text(f'#include "t.h"\n{here}\nint main() {{ return twice(21) != 42; }}')
            done = subprocess.run(
                ["g++", "-std=c++17", "-o", "main", "main.cpp", "t.cpp"], cwd=folder, capture_output=True, text=True
            )
            return done.stderr if done.returncode else subprocess.run([Path(folder, "main")], timeout=20).returncode

    declared, body = "template <class T> T twice(T x);", "template <class T> T twice(T x) { return 2 * x; }"
    assert "undefined reference" in linked(declared, body)
    assert linked(body, "") == linked(declared, f"{body}\ntemplate int twice(int);") == 0
    assert "no definition" in linked(declared, body, "template int twice(int);")  # in the other file


@check
def check_cast_from_a_virtual_base():
    code = """
#include <cstdio>
#include <memory>
struct B { virtual ~B() = default; };
struct D : virtual B { int id() const { return 2; } };
int main() { std::shared_ptr<B> b = std::make_shared<D>(); std::printf("%d", CAST<D>(b)->id()); }
"""
    assert compiled(code.replace("CAST", "std::dynamic_pointer_cast"))[1] == "2"
    assert "the base is virtual" in compiled(code.replace("CAST", "std::static_pointer_cast"))[0]


@pitfall("A cloned libtorch module has no `forward`")
def check_clone_of_libtorch():
    """Compiled against the installed libtorch, which takes about ten seconds."""
    code = """
#include <cstdio>
#include <type_traits>
#include <utility>
#include <torch/nn/modules/linear.h>
template <class T, class = void> struct has_forward : std::false_type {};
template <class T> struct has_forward<T, std::void_t<decltype(&T::forward)>> : std::true_type {};
int main() {
  torch::nn::Linear linear(2, 3);
  using Cloned = std::decay_t<decltype(*linear->clone())>;
  static_assert(std::is_same_v<Cloned, torch::nn::Module> && !has_forward<Cloned>::value && has_forward<torch::nn::LinearImpl>::value);
  auto cast = std::dynamic_pointer_cast<torch::nn::LinearImpl>(linear->clone());
  auto x = torch::ones({1, 2});
  std::printf("%d%d", cast != linear.ptr(), cast->forward(x).equal(linear->forward(x)));
  std::printf("%d", std::static_pointer_cast<torch::nn::LinearImpl>(linear->clone()) != nullptr);    // not virtual any more
}
"""
    assert compiled(code, *LIBTORCH) == ("", "111")


def assembly(code):
    """What g++ makes of a program with -O1."""
    command = ["g++", "-std=c++17", "-O1", "-S", "-x", "c++", "-", "-o", "-"]
    return subprocess.run(command, input=code, text=True, capture_output=True, check=True).stdout


@holds("Static", "Dynamic", "Cost of dynamic", "When can the compiler skip the table?")
def check_calls():
    """A call through the table goes by a register; one whose target is known is direct or inlined."""
    base = "struct B { virtual int f() const; int g() const { return f(); } };"
    indirect = lambda code: any(
        "*" in line for line in assembly(code).splitlines() if line.strip().startswith(("call", "jmp"))
    )
    for used in ("int h(const B& b) { return b.f(); }", "int h(const B* b) { return b->f(); }"):
        assert indirect(f"{base} {used}")
    assert not indirect(f"{base} int h(B b) {{ return b.f(); }}")
    for derived in ("struct D final : B { int f() const override; };", "struct D : B { int f() const final; };"):
        assert not indirect(f"{base} {derived} int h(const D& d) {{ return d.f(); }}")
    more = "struct D : B { int f() const final; }; struct E : D {};"  # D or E: the function is known, not the type
    assert not indirect(f"{base} {more} int h(const D& d) {{ return d.f(); }}")
    assert indirect(f"{base} struct D : B {{ int f() const override; }}; int h(const D& d) {{ return d.f(); }}")
    templates = "template <class F> int apply(F f, int x) { return f(x); } int h(int x) { return apply([](int y) { return y + 1; }, x); }"
    crtp = "template <class D> struct B { int g(int x) { return static_cast<D*>(this)->f(x); } }; struct D : B<D> { int f(int x) { return x + 1; } };"
    for code in (templates, f"{crtp} int h(int x) {{ D d; return d.g(x); }}"):
        assert "call" not in assembly(code)  # inlined


@holds("Cost of templates")
def check_code_for_each_type():
    code = "template <class T> __attribute__((noinline)) T twice(T x) { return x + x; }"
    for used, copies in (("int a = twice(1);", 1), ("int a = twice(1); double b = twice(1.5); long c = twice(1L);", 3)):
        assert sum("twice" in name for name in symbol_sizes(f"{code} {used}")) == copies


@holds("Needs")
def check_needs():
    classes = "struct A { int f() { return 1; } }; struct C { int f() { return 2; } }; struct E {};"
    template = "template <class T> int call(T t) { return t.f(); }"
    assert compiled(f"{classes} {template} int main() {{ return call(A()) + call(C()) != 3; }}")[0] == ""
    assert "no member named" in compiled(f"{classes} {template} int main() {{ return call(E()); }}")[0]
    assert "cannot convert" in compiled(f"{classes} int main() {{ A* a = new C; }}")[0]


@holds(
    "virtual functions",
    "templates",
    "CRTP `Base<Derived>`",
    "overloads",
    "`std::variant` + `std::visit`",
    "`std::function`",
)
def check_six_ways():
    code = """
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>
struct Base { virtual ~Base() = default; virtual int f() const = 0; };
struct One : Base { int f() const override { return 1; } };
struct Two : Base { int f() const override { return 2; } };
template <class T> T largest(const std::vector<T>& v) { T m = v[0]; for (const T& x : v) if (m < x) m = x; return m; }
template <class D> struct Crtp { int twice() { return 2 * static_cast<D*>(this)->f(); } };
struct Three : Crtp<Three> { int f() { return 3; } };
int kind(int) { return 1; } int kind(double) { return 2; }
int plus(int x) { return x + 1; }
int main(int argc, char**) {
  std::vector<std::unique_ptr<Base>> mixed;
  mixed.push_back(std::make_unique<One>()); mixed.push_back(std::make_unique<Two>());
  std::printf("%d%d ", mixed[0]->f(), mixed[1]->f());
  std::printf("%d%s ", largest<int>({4, 9, 2}), largest<std::string>({"a", "c", "b"}).c_str());
  std::printf("%d %d%d ", Three().twice(), kind(1), kind(1.5));
  std::vector<std::variant<int, double>> values{7, 1.5};
  for (auto& v : values) std::printf("%d", std::visit([](auto x) { return std::is_same_v<decltype(x), int> ? 1 : 2; }, v));
  std::function<int(int)> callback = plus;
  std::printf(" %d", callback(1));
  if (argc) callback = [argc](int x) { return x + 10 * argc; };
  std::printf("%d", callback(1));
}
"""
    assert compiled(code) == ("", "12 9c 6 12 12 211")
    assert "error" in compiled('#include <variant>\nint main() { std::variant<int, double> v = "text"; }')[0]


@holds("Can a constructor be virtual? A member template?", "What is a pure virtual function?")
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
    assert (
        compiled(
            "struct A { virtual void f() = 0; }; struct B : A { void f() override {} }; int main() { B b; b.f(); }"
        )[0]
        == ""
    )
