import subprocess
import tempfile
from pathlib import Path

from note_checks import check, formula, stated

COPIES = r"n_{\text{automatic}} = d, \qquad n_{\text{static}} = 1, \qquad n_{\text{thread}} = T"


def compiled(code, *options):
    """What g++ reports, and what the program prints (None if it does not compile)."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "main.cpp"), Path(folder, "main")
        source.write_text(code)
        done = subprocess.run(["g++", "-std=c++17", "-pthread", *options, "-o", program, source], capture_output=True, text=True)
        if done.returncode:
            return done.stderr, None
        return done.stderr, subprocess.run([program], capture_output=True, text=True, timeout=20).stdout


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
def check_number_of_copies():
    for threads, depth in ((1, 5), (3, 2), (4, 1)):
        printed = compiled(PROGRAM.replace("THREADS", str(threads)).replace("DEPTH", str(depth)))[1]
        assert [int(one) for one in printed.split()] == [threads * depth, 1, threads]
        if threads == 1:
            stated("5", int(printed.split()[0]))
            stated("1", int(printed.split()[1]))


@check
def check_sections():
    zero, one = sections("char a[1000000];"), sections("char a[1000000] = {1};")
    small = sections("char a[1];")
    stated("1,000,000", zero[1])
    stated("1,000,000", one[0])
    assert one[1] == zero[0] == 0 and zero[2] - small[2] < 64 and 1_000_000 <= one[2] - small[2] < 1_000_064
    stated("64", 4096 * 4096 * 4 / 2**20)
    assert sections("int f() { static int n = 7; return ++n; }")[:2] == (4, 0)    # a constant value stands in the file
    late = sections("#include <cstdlib>\nint a = std::getenv(\"A\") ? 1 : 2;")
    assert late[:2] == (8, 4)    # set by code at the start: an entry of .init_array, and the variable itself in .bss


@check
def check_pitfalls():
    assert "-Wreturn-local-addr" in compiled("int& f() { int x = 1; return x; } int main() {}")[0]
    address = compiled('#include <cstdio>\nint& f() { int x = 1; return x; } int main() { std::printf("%p", (void*)&f()); }')[1]
    assert address == "(nil)"    # GCC: a null reference, so reading it crashes
    assert compiled('#include <cstdio>\ndouble sum; int main() { std::printf("%g", sum); }')[1] == "0"
    with tempfile.TemporaryDirectory() as folder:
        for kind, wanted in (("static int n", "0"), ("inline int n = 0", "1")):
            Path(folder, "n.h").write_text(f"{kind};")
            Path(folder, "a.cpp").write_text('#include "n.h"\nvoid set() { n = 1; }')
            Path(folder, "b.cpp").write_text('#include <cstdio>\n#include "n.h"\nvoid set(); int main() { set(); std::printf("%d", n); }')
            subprocess.run(["g++", "-std=c++17", "-o", "main", "a.cpp", "b.cpp"], cwd=folder, check=True)
            assert subprocess.run([Path(folder, "main")], capture_output=True, text=True).stdout == wanted


@check
def check_order_of_destruction():
    code = """
#include <cstdio>
struct A { int n; A(int i) : n(i) { std::printf("%d", n); } ~A() { std::printf("%d", n); } };
A a(1); A b(2);
int main() { static A c(3); std::printf("m"); }
"""
    assert compiled(code)[1] == "123m321"
