import subprocess

from note_checks import by_definition, formula, holds, pitfall, stated
from programs import LIBTORCH, compiled, ended

ACCESS = r"a' = \max(a, m)"
SIZE = r"\mathrm{sizeof}(D) \ge \mathrm{sizeof}(B)"
LEVELS = ("public", "protected", "private")

by_definition("Polymorphism", "encapsulation", "inheritance", "polymorphism", "composition", "free function")


def level(a, m):
    """Access of a member in D, found by who may name it: everybody 0, classes derived from D 1, D itself 2, nobody 3."""
    classes = f"class B {{ {LEVELS[a]}: int x = 0; }}; class D : {LEVELS[m]} B {{"
    tests = (
        f"{classes} }}; int main() {{ D d; return d.x; }}",
        f"{classes} }}; class E : public D {{ int g() {{ return x; }} }}; int main() {{}}",
        f"{classes} int g() {{ return x; }} }}; int main() {{}}",
    )
    return next((index for index, code in enumerate(tests) if compiled(code)[1] is not None), 3)


@formula(ACCESS)
@holds("Encapsulation", "encapsulation")
def check_access_levels():
    for m in range(3):
        for a in (0, 1):
            assert level(a, m) == max(a, m), (a, m)
        assert level(2, m) == 3
    using = "class B { protected: int x = 0; }; class D : B { public: using B::x; }; int main() { return D().x; }"
    assert compiled(using)[1] == ""
    stated("1", level(1, 0))
    stated("2", level(0, 2))


@formula(SIZE)
@holds("Inheritance")
def check_sizes():
    code = """
#include <cstdio>
struct B { double a, b; }; struct D : B { double c; };
struct E {}; struct F : E {}; struct G : E { char c; };
struct H { virtual ~H() {} int i; }; struct I : H { char c; };
int main() { std::printf("%zu %zu %zu %zu %zu %zu %zu", sizeof(B), sizeof(D), sizeof(E), sizeof(F), sizeof(G), sizeof(H), sizeof(I)); }
"""
    B, D, E, F, G, H, I = (int(one) for one in compiled(code)[1].split())
    assert D >= B and F >= E and G >= E and I >= H
    stated("16", B)
    stated("24", D)


@holds("Inheritance", "inheritance")
def check_object_within():
    code = """
struct B { int x = 3; }; class D : public B { int y = 4; };
int main() { D d; B& inner = d; auto at = (char*)&inner, from = (char*)&d; return !(inner.x == 3 && at >= from && at + sizeof(B) <= from + sizeof(D)); }
"""
    assert ended(code)[0] == 0


@holds("Cost")
def check_access_control_costs_nothing():
    code = "class A { ACCESS: int x = 1, y = 2; public: int sum() const { return x + y; } }; int f(const A& a) { return a.sum(); }"
    made = [
        subprocess.run(
            ["g++", "-S", "-x", "c++", "-", "-o", "-"],
            input=code.replace("ACCESS", one),
            text=True,
            capture_output=True,
        ).stdout
        for one in LEVELS
    ]
    assert "ret" in made[0] and made[0] == made[1] == made[2]


@holds("polymorphism", "encapsulation", "composition", "free function")
def check_python_column():
    class Mean:
        def __init__(self):
            self._sum = 3

        def value(self):
            return self._sum

    class Other(Mean):
        def value(self):
            return 7

    mean = Mean()
    assert mean._sum == 3 and [one.value() for one in (mean, Other())] == [3, 7]
    Mean.value = lambda self: 9  # looked up at the call
    assert mean.value() == 9


@holds("Defaults", "Order")
def check_defaults_and_order():
    for kind, fine in (("class", False), ("struct", True)):
        for code in (
            f"{kind} A {{ int x = 0; }}; int main() {{ return A().x; }}",
            f"struct B {{ int x = 0; }}; {kind} D : B {{}}; int main() {{ return D().x; }}",
        ):
            assert (compiled(code)[1] is not None) is fine
    assert compiled("struct B { int x = 0; }; struct D : B {}; int main() { D d; return d.x; }")[1] == ""
    code = """
#include <cstdio>
struct B { B() { std::putchar('1'); } ~B() { std::putchar('4'); } };
struct D : B { D() { std::putchar('2'); } ~D() { std::putchar('3'); } };
int main() { D d; }
"""
    assert compiled(code)[1] == "1234"


@pitfall('"is inaccessible within this context" although the base member is public')
def check_private_by_default():
    code = (
        "class B { public: int x = 0; int f() { return x; } }; class D : MODE B {}; int main() { D d; return d.f(); }"
    )
    assert "is inaccessible within this context" in compiled(code.replace("MODE", ""))[0]
    assert compiled(code.replace("MODE", "public"))[1] == ""


@pitfall("A module handed to `Sequential` is copied")
def check_sequential_of_libtorch():
    """Compiled against the installed libtorch, which takes about ten seconds."""
    code = """
#include <cstdio>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
using torch::nn::LinearImpl;
int main() {
  torch::nn::Sequential net;
  LinearImpl named(2, 3); torch::nn::Linear holder(2, 3); auto shared = std::make_shared<LinearImpl>(2, 3);
  net->push_back(named); net->push_back(holder); net->push_back(shared);
  std::printf("%d", named.weight.is_same(net->ptr<LinearImpl>(0)->weight));
  const void* mine[] = {&named, holder.get(), shared.get()};
  for (int i = 0; i < 3; ++i) std::printf("%d", mine[i] == static_cast<const void*>(net->ptr<LinearImpl>(i).get()));
}
"""
    assert compiled(code, *LIBTORCH) == ("", "1011")


@pitfall("A getter gives the private data away")
def check_getter():
    code = """
#include <vector>
class A { std::vector<double> data_{1}; public: CONST std::vector<double>& data() { return data_; } void set(double x) { if (x > 0) data_[0] = x; } };
int main() { A a; CHANGE; return a.data()[0] < 0; }
"""
    write, through = "a.data()[0] = -2", "a.set(-2)"
    assert ended(code.replace("CONST", "").replace("CHANGE", write))[0] == 1  # the rule "positive" is broken
    assert compiled(code.replace("CONST", "const").replace("CHANGE", write))[1] is None
    assert ended(code.replace("CONST", "const").replace("CHANGE", through))[0] == 0


@pitfall("A derived class breaks code written for the base")
def check_square():
    code = """
struct Rectangle { int w = 1, h = 1; virtual void width(int x) { w = x; } virtual void height(int x) { h = x; } };
struct Square DERIVED
int area(Rectangle& r) { r.width(3); r.height(2); return r.w * r.h; }
int main() { Rectangle r; Square s; return ASKED; }
"""
    inherits = ": Rectangle { void width(int x) override { w = h = x; } void height(int x) override { w = h = x; } };"
    holds = "{ void side(int x) { own.w = own.h = x; } int area() { return own.w * own.h; } private: Rectangle own; };"
    assert [ended(code.replace("DERIVED", inherits).replace("ASKED", f"area({one})"))[0] for one in "rs"] == [
        6,
        4,
    ]  # 6 was promised
    assert compiled(code.replace("DERIVED", holds).replace("ASKED", "area(s)"))[1] is None
    assert ended(code.replace("DERIVED", holds).replace("ASKED", "(s.side(2), 10 * area(r) + s.area())"))[0] == 64


@pitfall("Two copies of the base in a diamond")
def check_diamond():
    code = """
struct A { double x[4]; int f() { return 0; } static int g() { return 0; } };
struct B : MODE A {}; struct C : MODE A {}; struct D : B, C {};
int main() { D d; TWICE return d.CALLED(); }
"""
    twice = "static_assert(sizeof(D) == 2 * sizeof(A));"
    plain, virtual = code.replace("MODE", ""), code.replace("MODE", "virtual")
    assert "ambiguous" in compiled(plain.replace("TWICE", "").replace("CALLED", "f"))[0]
    assert ended(plain.replace("TWICE", twice).replace("CALLED", "g"))[0] == 0
    assert ended(virtual.replace("TWICE", "static_assert(sizeof(D) < 2 * sizeof(A));").replace("CALLED", "f"))[0] == 0
    taking = "struct A { int v; A(int x) : v(x) {} }; struct B : virtual A { B() : A(1) {} };"
    taking += "struct C : virtual A { C() : A(2) {} }; struct D : B, C { OWN }; int main() { return D().v; }"
    assert "deleted" in compiled(taking.replace("OWN", ""))[0]
    assert ended(taking.replace("OWN", "D() : A(3) {}"))[0] == 3
    both = "struct A { virtual int f() { return 0; } }; struct B : virtual A { int f() override { return 1; } };"
    both += "struct C : virtual A { int f() override { return 2; } }; struct D : B, C { OWN };"
    both += "int main() { return D().f(); }"
    assert "no unique final overrider" in compiled(both.replace("OWN", ""))[0]
    assert ended(both.replace("OWN", "int f() override { return 3; }"))[0] == 3


@holds("Does `private` protect secrets?")
def check_private_is_readable():
    code = """
#include <cstring>
class A { public: int a = 1; private: int secret = 42; };
int main() { A object; int found; std::memcpy(&found, (char*)&object + sizeof(int), sizeof(int)); return found; }
"""
    assert ended(code)[0] == 42
    assert "is private" in compiled("class A { int secret = 42; }; int main() { return A().secret; }")[0]


@holds("Are the three pillars independent?")
def check_independence():
    code = """
class A { int x = 1; public: int get() const { return x; } }; struct B { int get() const { return 2; } };
template <class T> int ten(const T& t) { return 10 * t.get(); }
int main() { return ten(A()) + ten(B()); }
"""
    assert ended(code)[0] == 30
    assert (
        "cannot be overloaded"
        in compiled("struct A { virtual int f() { return 1; } virtual int f() { return 2; } }; int main() {}")[0]
    )


@holds("Encapsulation", "Can an object read private members of another object of its class?", "What does a friend do?")
def check_questions():
    others = (
        "class A { int s = 1; friend class F; }; class F { protected: int f(A a) { return a.s; } friend class G; };"
    )
    assert compiled(f"{others} int main() {{}}")[1] == ""
    for stranger in (
        "class C : F { int g(A a) { return a.s; } };",
        "class G { int g(A a) { return a.s; } };",
    ):  # a child, a friend's friend
        assert "private" in compiled(f"{others} {stranger} int main() {{}}")[0]
    assert (
        compiled(
            "class A { int s = 1; public: bool same(const A& o) const { return s == o.s; } }; int main() { A a, b; return !a.same(b); }"
        )[1]
        == ""
    )
    friend = "class A { int s = 1; friend int f(A); }; struct B : A { int t = 0; private: int u = 0; CHILD }; int f(A a) { return a.s; } int f(B b) { return b.u; } int main() {}"
    assert (
        "private" in compiled(friend.replace("CHILD", ""))[0]
        and compiled(friend.replace("CHILD", "friend int f(B);"))[1] == ""
    )
