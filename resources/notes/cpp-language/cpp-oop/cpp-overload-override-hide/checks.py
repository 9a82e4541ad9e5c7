from note_checks import formula, holds, pitfall, stated
from programs import compiled

LOOKUP = (
    r"\mathrm{vis}(D, f) = \begin{cases} D_f & D_f \ne \varnothing \\"
    r" \mathrm{vis}(B, f) & \text{otherwise} \end{cases}"
)
TYPES = {"A1": "A1{}", "A2": "A2{}", "A3": "A3{}"}


def vis(classes):
    """The formula: classes from the most derived to the base, each a set of declared overloads."""
    first, *rest = classes
    return first if first or not rest else vis(rest)


@formula(LOOKUP)
@holds("Overload", "Hide", "`using B::f;`")
def check_visible_overloads():
    cases = {
        "nothing": ("", set()),
        "one": ("void f(A1) {}", {"A1"}),
        "other": ("void f(A1) {} void f(A2) {}", {"A1", "A2"}),
        "using": ("using B::f; void f(A1) {}", {"A1", "A2", "A3"}),
    }
    sizes = {}
    for name, (body, declared) in cases.items():
        seen = set()
        for kind, value in TYPES.items():
            code = (
                "struct A1 {}; struct A2 {}; struct A3 {};"
                "struct B { void f(A1) {} void f(A2) {} void f(A3) {} };"
                f"struct D : B {{ {body} }}; struct E : D {{}}; int main() {{ E e; e.f({value}); }}"
            )
            if compiled(code, "-fsyntax-only")[0] == "":
                seen.add(kind)
        assert seen == vis([set(), declared, set(TYPES)]), name
        sizes[name] = len(seen)
    assert sizes == {"nothing": 3, "one": 1, "other": 2, "using": 3}
    private = "struct B { void f(double) {} private: void f(int) {} }; struct D : B { using B::f; }; int main() {}"
    assert "private" in compiled(private, "-fsyntax-only")[0]
    stated("1", sizes["one"])
    stated("3", sizes["using"])


@pitfall("A call with a `double` silently runs the `int` version")
def check_hidden_double():
    code = """
#include <cstdio>
struct Base { virtual void f(int n) const {} void f(double) const { std::printf("double"); } };
struct Derived : Base { USING void f(int n) const override { std::printf("int %d", n); } };
int main() { Derived().f(1.5); }
"""
    assert compiled(code.replace("USING", ""), "-Wall", "-Woverloaded-virtual") == ("", "int 1")
    assert compiled(code.replace("USING", "using Base::f;"))[1] == "double"
    assert "inaccessible" in compiled(code.replace("USING", "private: using Base::f; public:"))[0]


@pitfall("Through the base, the override is never called")
def check_missed_override():
    code = """
#include <cstdio>
struct B { VIRTUAL int f(int) const { return 1; } };
struct D : B { int f(PARAMETERS { return 2; } };
int main() { D d; const B& b = d; std::printf("%d", b.f(0)); }
"""
    for virtual, parameters in (("virtual", "int)"), ("virtual", "long) const"), ("", "int) const")):
        broken = code.replace("VIRTUAL", virtual)
        assert compiled(broken.replace("PARAMETERS", parameters))[1] == "1"
        assert "override" in compiled(broken.replace("PARAMETERS", f"{parameters} override"))[0]
    assert compiled(code.replace("VIRTUAL", "virtual").replace("PARAMETERS", "int) const override"))[1] == "2"


@pitfall("The default argument is the wrong one")
def check_default_argument():
    broken = "struct B { virtual int h(int n = 1) const { return n; } }; struct D : B { int h(int n = 2) const override { return 10 + n; } };"
    cured = """
struct B { int h(int n = 1) const { return body(n); } private: virtual int body(int n) const { return n; } };
struct D : B { private: int body(int n) const override { return 10 + n; } };
"""
    use = '\nint main() { D d; const B& b = d; std::printf("%d %d", b.h(), d.h()); }'
    assert [compiled(f"#include <cstdio>\n{code}{use}")[1] for code in (broken, cured)] == ["11 12", "11 11"]
    assert "cannot be overloaded" in compiled(cured.replace("body", "h"))[0]  # the same name


@pitfall('"Redefinition" is used for different things')
def check_redefinition():
    assert "redefinition of" in compiled("void f(int) {} void f(int) {} int main() {}")[0]
    for hiding_or_overriding in ("", "virtual"):
        classes = f"struct B {{ {hiding_or_overriding} void f() {{}} }}; struct D : B {{ void f() {{}} }};"
        assert compiled(f"{classes} int main() {{ D().f(); }}") == ("", "")


@holds("Overload", "Override", "Hide", "overload", "override", "hide")
def check_who_chooses():
    code = """
#include <cstdio>
struct B {
  int over(int) { return 1; } virtual int over(double) { return 2; } int over(int) const { return 3; }
  virtual int virt(int) const { return 1; }
  int plain() { return 1; } virtual int other(int) { return 1; }
};
struct D : B { int virt(int) const override { return 2; } int plain() { return 2; } int other(double) { return 2; } };
int main() {
  D d; B& b = d; const B& c = b; const B& object = d;
  std::printf("%d%d%d ", b.over(1), b.over(1.5), c.over(1));
  std::printf("%d%d ", object.virt(1), B().virt(1));
  std::printf("%d%d%d%d", b.plain(), d.plain(), b.other(1), d.other(1));
}
"""
    assert compiled(code)[1] == "123 21 1212"
    assert "cannot be overloaded" in compiled("struct A { void f(int) {} void f(const int) {} }; int main() {}")[0]
    assert compiled("struct A { void f() & {} void f() && {} void f() const& {} }; int main() {}") == ("", "")


@holds("Override", "Return type", "`override`")
def check_override_keyword():
    base = "struct B { virtual void f(int) const {} void g() {} };"
    for bad in ("void f(int) override {}", "void f(long) const override {}", "void g() override {}"):
        assert "override" in compiled(f"{base} struct D : B {{ {bad} }}; int main() {{}}")[0], bad
        assert compiled(f"{base} struct D : B {{ {bad.replace('override', '')} }}; int main() {{}}")[0] == ""
    assert (
        compiled(
            "struct B { virtual B* f() { return this; } }; struct D : B { D* f() override { return this; } }; int main() {}"
        )[0]
        == ""
    )
    assert (
        "conflicting return type"
        in compiled(
            "struct B { virtual int f() { return 0; } }; struct D : B { long f() override { return 0; } }; int main() {}"
        )[0]
    )
    hiding = "struct B { virtual void f(int) {} void g(int) {} }; struct D : B { void f(double) {} void g(double) {} }; int main() {}"
    messages = compiled(hiding, "-Woverloaded-virtual")[0]
    assert "B::f(int)" in messages and "was hidden" in messages and "B::g" not in messages


@holds(
    "Return type",
    "Can functions be overloaded by return type or by `const`?",
    "Is a destructor overridden although its name differs?",
    "Can a private virtual function be overridden?",
    "May a static member function be virtual?",
)
def check_questions():
    assert (
        "cannot be overloaded"
        in compiled("struct A { int f() { return 0; } long f() { return 0; } }; int main() {}")[0]
    )
    code = """
#include <cstdio>
struct B { int at() const { return 1; } int at() { return 2; } virtual ~B() { std::printf("B"); }
           int run() { return secret(); } private: virtual int secret() { return 3; } };
struct D : B { ~D() override { std::printf("D"); } private: int secret() override { return 4; } };
int main() { B b; const B& c = b; std::printf("%d%d", b.at(), c.at()); B* p = new D; std::printf("%d", p->run()); delete p; }
"""
    assert compiled(code) == ("", "214DBB")
    assert "error" in compiled("struct A { static virtual void f(); }; int main() {}")[0]
    of_this = "#include <type_traits>\nstruct A { auto at() { return this; } auto at() const { return this; } }; A a; const A c;"
    same = "static_assert(std::is_same_v<decltype(a.at()), A*> && std::is_same_v<decltype(c.at()), const A*>);"
    assert compiled(f"{of_this} {same} int main() {{}}") == ("", "")
