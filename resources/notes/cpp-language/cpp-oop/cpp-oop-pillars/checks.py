import subprocess
import tempfile
from pathlib import Path

from note_checks import check, formula, stated

ACCESS = r"a' = \max(a, m)"
SIZE = r"\mathrm{sizeof}(D) \ge \mathrm{sizeof}(B)"
LEVELS = ("public", "protected", "private")


def compiled(code):
    """What g++ reports, and what the program prints (None if it does not compile)."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "main.cpp"), Path(folder, "main")
        source.write_text(code)
        done = subprocess.run(["g++", "-std=c++17", "-o", program, source], capture_output=True, text=True)
        if done.returncode:
            return done.stderr, None
        return done.stderr, subprocess.run([program], capture_output=True, text=True, timeout=20).stdout


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
def check_access_levels():
    for m in range(3):
        for a in (0, 1):
            assert level(a, m) == max(a, m), (a, m)
        assert level(2, m) == 3
    stated("1", level(1, 0))
    stated("2", level(0, 2))


@formula(SIZE)
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


@check
def check_defaults_and_order():
    assert "inaccessible within this context" in compiled("class B { public: int x = 0; }; class D : B {}; int main() { D d; return d.x; }")[0]
    assert compiled("struct B { int x = 0; }; struct D : B {}; int main() { D d; return d.x; }")[1] == ""
    code = """
#include <cstdio>
struct B { B() { std::putchar('1'); } ~B() { std::putchar('4'); } };
struct D : B { D() { std::putchar('2'); } ~D() { std::putchar('3'); } };
int main() { D d; }
"""
    assert compiled(code)[1] == "1234"


@check
def check_pitfalls_and_questions():
    diamond = "struct A { int x = 0; }; struct B : %sA {}; struct C : %sA {}; struct D : B, C {}; int main() { D d; return d.x; }"
    assert "ambiguous" in compiled(diamond % ("", ""))[0] and compiled(diamond % ("virtual ", "virtual "))[1] == ""
    leak = "#include <vector>\nclass A { std::vector<double> d{1}; public: CONST std::vector<double>& data() { return d; } }; int main() { A a; a.data()[0] = 2; }"
    assert compiled(leak.replace("CONST", ""))[1] == "" and "error" in compiled(leak.replace("CONST", "const"))[0]
    assert compiled("class A { int s = 1; public: bool same(const A& o) const { return s == o.s; } }; int main() { A a, b; return !a.same(b); }")[1] == ""
    friend = "class A { int s = 1; friend int f(A); }; struct B : A { int t = 0; private: int u = 0; CHILD }; int f(A a) { return a.s; } int f(B b) { return b.u; } int main() {}"
    assert "private" in compiled(friend.replace("CHILD", ""))[0] and compiled(friend.replace("CHILD", "friend int f(B);"))[1] == ""
