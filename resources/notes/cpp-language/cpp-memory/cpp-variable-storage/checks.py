import subprocess
import tempfile
from pathlib import Path
from signal import SIGSEGV

from note_checks import by_definition, formula, holds, pitfall, sourced, stated
from programs import compiled, ended

COPIES = r"n_{\text{automatic}} = d, \qquad n_{\text{static}} = 1, \qquad n_{\text{thread}} = T"

by_definition("What does `static` mean in its three places?")
sourced("C++11 standard [stmt.dcl]/4: concurrent execution shall wait", "`static` local")
sourced("C++ standard [basic.stc]: durations only, no sections of a file", "Where exactly")


def sections(code):
    """(bytes of .data, bytes of .bss, bytes of the object file)."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "a.cpp"), Path(folder, "a.o")
        source.write_text(code)
        subprocess.run(["g++", "-c", "-o", made, source], check=True)
        line = subprocess.run(["size", made], capture_output=True, text=True, check=True).stdout.splitlines()[1].split()
        return int(line[1]), int(line[2]), made.stat().st_size


PROGRAM = """
#include <atomic>
#include <cstdio>
#include <mutex>
#include <set>
#include <thread>
#include <vector>
std::set<const void*> a, s, t; std::mutex lock; std::atomic<int> deep{0};
void f(int depth, int threads) {
  int local = depth; static int one = 0; thread_local int own = 0;
  { std::lock_guard<std::mutex> g(lock); a.insert(&local); s.insert(&one); t.insert(&own); }
  if (depth > 1) f(depth - 1, threads);
  else { ++deep; while (deep < threads) std::this_thread::yield(); }
  if (local < 0) std::puts("");
}
int main() {
  std::vector<std::thread> all;
  for (int i = 0; i < THREADS; ++i) all.emplace_back(f, DEPTH, THREADS);
  for (auto& one : all) one.join();
  std::printf("%zu %zu %zu", a.size(), s.size(), t.size());
}
"""


@formula(COPIES)
@holds("Plain local, parameter", "`thread_local`")
def check_number_of_copies():
    for threads, depth in ((1, 5), (3, 2), (4, 1)):
        printed = compiled(PROGRAM.replace("THREADS", str(threads)).replace("DEPTH", str(depth)))[1]
        assert [int(one) for one in printed.split()] == [threads * depth, 1, threads]
        if threads == 1:
            stated("5", int(printed.split()[0]))
            stated("1", int(printed.split()[1]))


@holds("Where exactly")
def check_sections():
    zero, one = sections("char a[1000000];"), sections("char a[1000000] = {1};")
    small = sections("char a[1];")
    stated("1,000,000", zero[1])
    stated("1,000,000", one[0])
    assert one[1] == zero[0] == 0 and zero[2] - small[2] < 64 and 1_000_000 <= one[2] - small[2] < 1_000_064
    stated("64", 4096 * 4096 * 4 / 2**20)
    assert sections("int f() { static int n = 7; return ++n; }")[:2] == (4, 0)  # a constant value stands in the file
    assert sections("extern const char a[1000000] = {1};")[:2] == (0, 0)  # `size` counts .rodata as text
    assert sections("extern const char* const a[1000] = {};")[:2] == (0, 0)
    assert sections('extern const char* const a[2] = {"a", "b"};')[0] == 16  # `size` counts .data.rel.ro as data
    assert sections("extern const char a[1000000] = {};")[2] > 1_000_000  # a constant stands in the file, zero or not
    late = sections('#include <cstdlib>\nint a = std::getenv("A") ? 1 : 2;')
    assert late[:2] == (8, 4)  # set by code at the start: an entry of .init_array, and the variable itself in .bss


@pitfall("A returned reference holds garbage, or reading it crashes")
def check_returned_reference():
    direct = "int& f() { int x = 1; return x; }"
    through = "int& f() { int x = 1; int* p = &x; return *p; }    // GCC does not see this one: no null, but garbage"
    value, owner = (
        "int f() { int x = 1; return x; }",
        "#include <memory>\nstd::unique_ptr<int> f() { return std::make_unique<int>(1); }",
    )
    use = "\nvoid g() { volatile int a = 7, b = 7, c = 7, d = 7, e = 7, h = 7; (void)(a + b + c + d + e + h); }\nint main() { auto&& r = f(); g(); return %sr; }"
    assert "-Wreturn-local-addr" in compiled("int& f() { int x = 1; return x; } int main() {}")[0]
    assert [ended(code + use % star)[0] for code, star in ((direct, ""), (through, ""), (value, ""), (owner, "*"))] == [
        -SIGSEGV,
        7,
        1,
        1,
    ]
    assert "cannot bind" in compiled(value + "\nint main() { int& r = f(); return r; }")[0]
    assert ended(value + "\nint main() { int r = f(); return r; }")[0] == 1


@pitfall("A local sum starts at a strange number")
@holds("Plain local, parameter")
def check_indeterminate_local():
    code = """
#include <cstdio>
void dirty() { volatile double a = 7, b = 7, c = 7, d = 7; (void)(a + b + c + d); }
double total() { double sum START; for (int i = 0; i < 3; ++i) sum += 1; return sum; }
int main() { dirty(); std::printf("%g", total()); }
"""
    assert compiled(code.replace("START", ""))[1] == "10" and compiled(code.replace("START", "= 0"))[1] == "3"
    assert compiled('#include <cstdio>\ndouble sum; int main() { std::printf("%g", sum); }')[1] == "0"


@pitfall("A crash on entering a function with a large array")
def check_large_array():
    code = "#include <vector>\nfloat f(int x, int y) { DECLARED image[AT] = 1; return image[AT]; } int main() { return f(3, 4095) != 1; }"
    for declared, at, end in (
        ("float image[4096][4096];", "y][x", -SIGSEGV),
        ("std::vector<float> image(4096 * 4096);", "y * 4096 + x", 0),
    ):
        assert ended(code.replace("DECLARED", declared).replace("AT", at))[0] == end


@pitfall("A crash before `main` begins")
def check_order_of_initialization():
    user = '#include <map>\n#include <string>\nextern %s int used = registry%s["a"] = 1;'
    holder = '#include <map>\n#include <cstdio>\n#include <string>\n%s int main() { std::puts("main"); }'
    kind = "std::map<std::string, int>"
    variable = user % (f"{kind} registry;", ""), holder % f"{kind} registry;"
    function = (
        user % (f"{kind}& registry();", "()"),
        holder % f"{kind}& registry() {{ static {kind} made; return made; }}",
    )
    assert ended(*variable) == (-SIGSEGV, "") and ended(*variable[::-1]) == (
        0,
        "main\n",
    )  # g++ keeps the order of the files
    assert ended(*function) == ended(*function[::-1]) == (0, "main\n")
    header = f"#include <map>\n#include <string>\n%s {kind}& registry() {{ static {kind} made; return made; }}\n"
    parts = header + 'int used = registry()["a"] = 1;', header + 'int main() { return (int)registry().count("a"); }'
    assert ended(*(part % "inline" for part in parts))[0] == 1  # in a header: one object for all files
    assert ended(*(part % "static" for part in parts))[0] == 0


@pitfall('Each source file sees its own "global"')
@holds("What does `static` mean in its three places?")
def check_internal_linkage():
    for header, definition, wanted in (
        ("static int n;", "", "0"),
        ("inline int n = 0;", "", "1"),
        ("extern int n;", "int n = 0;", "1"),
    ):
        first = f"{header} {definition} void set() {{ n = 1; }}"
        assert ended(
            first, f'#include <cstdio>\n{header} void set(); int main() {{ set(); std::printf("%d", n); }}'
        ) == (0, wanted)


@holds("Global, namespace scope")
def check_zero_of_globals():
    code = "int i; double d; int* p; namespace n { long k; } int main() { return i != 0 || d != 0 || p || n::k; }"
    assert ended(code)[0] == 0


@holds("`static` local", "What does `static` mean in its three places?")
def check_static_local():
    """A constant stands in the file; code runs when control first reaches it, once, whatever the number of threads."""
    code = """
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>
std::atomic<int> made{0};
struct Slow { int n; Slow() { std::this_thread::sleep_for(std::chrono::milliseconds(50)); n = 7; ++made; } };
struct Counted { static int all; };
int Counted::all = 0;
int get() { static Slow one; return one.n; }
int main() {
  std::printf("%d", made.load());
  std::atomic<int> sum{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { sum += get(); });
  for (auto& t : threads) t.join();
  Counted a, b; a.all = 5;
  std::printf(" %d %d %d", made.load(), sum.load(), b.all);
}
"""
    assert compiled(code)[1] == "0 1 28 5"
    assert sections("int f() { static int n = 7; return ++n; }")[:2] == (4, 0)


@holds(
    "`new`, `std::vector` elements",
    "local",
    "`static` local",
    "global constant (`constexpr`)",
    "global variable",
    "elements of a `std::vector`",
    "`thread_local`",
)
def check_lifetimes():
    code = """
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>
#include <vector>
int taken = 0;
void* operator new(std::size_t n) { ++taken; return std::malloc(n); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
struct A { const char* name; A(const char* n) : name(n) {} ~A() { std::printf("~%s ", name); } };
struct V { int n = 3; ~V() { std::printf("~element "); } };
A global("global");
constexpr int constant[] = {1, 2};
static_assert(constant[1] == 2);
void f() { static A s("static"); A local("local"); std::printf("body "); }
int main(int argc, char**) {
  f();
  { const int before = taken; A inside("block"); std::printf("%d ", taken - before); }
  std::thread([] { thread_local A own("thread"); std::printf("in%s ", own.name); }).join();
  { const int before = taken; std::vector<V> v(argc + 1); std::printf("%d ", taken - before); }
  V* p = new V; std::printf("new%d ", p->n); delete p;
  std::printf("main ");
}
"""
    expected = "body ~local 0 ~block inthread ~thread 1 ~element ~element new3 ~element main ~static ~global "
    assert compiled(code)[1] == expected
    for declared in ("static int a[n];", "thread_local int a[n];", "int a[n];", "} int m = n(); int b[m]; void h() {"):
        assert "error" in compiled(f"int n(); void g(int n) {{ {declared} }} int main() {{}}", "-pedantic-errors")[0], (
            declared
        )


@holds("Is the stack faster than the heap?")
def check_time_of_stack_and_heap():
    code = """
#include <cstdio>
#include <ctime>
#include <vector>
__attribute__((noinline)) void use(volatile char* p) { p[0] = 1; }
__attribute__((noinline)) void stack() { char a[256]; use(a); }
__attribute__((noinline)) void heap() { char* a = new char[256]; use(a); delete[] a; }
__attribute__((noinline)) long sum(const int* p, int n) { long s = 0; for (int i = 0; i < n; ++i) s += p[i]; return s; }
template <class F> double least(F f) {
  double best = 1e9;
  for (int k = 0; k < 9; ++k) { std::clock_t t = std::clock(); f(); double d = std::clock() - t; if (d < best) best = d; }
  return best;
}
int main() {
  int on_stack[10000]; std::vector<int> on_heap(10000, 2);
  for (int& x : on_stack) x = 2;
  volatile long kept = 0;
  double a = least([] { for (int i = 0; i < 400000; ++i) stack(); }), b = least([] { for (int i = 0; i < 400000; ++i) heap(); });
  double c = least([&] { for (int i = 0; i < 300; ++i) kept = kept + sum(on_stack, 10000); });
  double d = least([&] { for (int i = 0; i < 300; ++i) kept = kept + sum(on_heap.data(), 10000); });
  std::printf("%g %g", b / a, d / c);
}
"""
    getting, reading = (float(one) for one in compiled(code, "-O1")[1].split())
    assert getting > 1.8 and 0.5 < reading < 2


@holds("When are static objects destroyed?")
def check_order_of_destruction():
    younger = """
#include <cstdio>
bool alive = false;
struct Y { Y() { alive = true; } ~Y() { alive = false; } };
struct O { ~O() { std::printf("%d", alive); } };
O older; Y y;
int main() { std::printf("%d", alive); }
"""
    assert compiled(younger)[1] == "10"
    code = """
#include <cstdio>
struct A { int n; A(int i) : n(i) { std::printf("%d", n); } ~A() { std::printf("%d", n); } };
A a(1); A b(2);
int main() { static A c(3); std::printf("m"); }
"""
    assert compiled(code)[1] == "123m321"
