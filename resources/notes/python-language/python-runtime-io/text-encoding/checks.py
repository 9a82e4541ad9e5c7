import codecs
import csv
import os
import random
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

from note_checks import by_definition, formula, holds, pitfall, raises, sourced, stated

LENGTH = (
    r"\mathrm{len}(c) = \begin{cases} 1 & c < 2^{7} \\ 2 & 2^{7} \le c < 2^{11} \\ 3 & 2^{11} \le c < 2^{16} \\"
    r" 4 & 2^{16} \le c \le \mathtt{10FFFF}_{16} \end{cases}"
)
BITS = r"\big(224 + \lfloor c / 2^{12} \rfloor,\ \ 128 + \lfloor c / 2^{6} \rfloor \bmod 2^{6},\ \ 128 + c \bmod 2^{6}\big)"


by_definition("Is Unicode an encoding?")
sourced("PEP 686; Microsoft documentation, Code Page Identifiers (936)", "`open(path)` without `encoding`", "GBK")
sourced("WHATWG Encoding Standard, preface", "UTF-8")
sourced("Java documentation of String; Microsoft documentation, Unicode in the Windows API", "UTF-16")
sourced("ISO 8859-1, title: Latin alphabet No. 1", "Latin-1")
sourced("Python 3.15 documentation of unicodedata", 'Why is `len("👍🏽")` 2?')
sourced(
    "Radford et al., Language Models are Unsupervised Multitask Learners, section 2.2",
    "Why do models such as GPT-2 use byte-level BPE?",
)


def points(low, high):
    return [c for c in {low, high, *(random.randint(low, high) for _ in range(500))} if not 0xD800 <= c <= 0xDFFF]


@holds("UTF-8")
@formula(LENGTH)
def check_length():
    edges = [0, 2**7, 2**11, 2**16, 0x10FFFF + 1]
    for size, (low, high) in enumerate(zip(edges, edges[1:]), start=1):
        for c in points(low, high - 1):
            encoded = chr(c).encode("utf-8")
            assert len(encoded) == size
            assert all(128 <= byte <= 191 for byte in encoded[1:]) and not 128 <= encoded[0] <= 191
    for c in (0xD800, 0xDFFF):
        try:
            chr(c).encode("utf-8")
        except UnicodeEncodeError:
            continue
        raise AssertionError("surrogates are not encoded")
    raises(ValueError, lambda: chr(0x110000))


@formula(BITS)
def check_three_bytes():
    for c in points(2**11, 2**16 - 1):
        assert list(chr(c).encode("utf-8")) == [224 + c // 2**12, 128 + c // 2**6 % 2**6, 128 + c % 2**6]
    c = ord("中")
    stated("20,013", c)
    first, second, third = "中".encode("utf-8")
    stated("4", c // 4096)
    stated("312", c // 64)
    stated("56", c // 64 % 64)
    stated("45", c % 64)
    stated("228", first)
    stated("184", second)
    stated("173", third)
    assert c == 0x4E2D and bytes((first, second, third)).hex() == "e4b8ad" and "中".encode("gbk").hex() == "d6d0"


@holds("UTF-16", "UTF-32", "GBK", "GB18030", "Latin-1", "Is Unicode an encoding?")
def check_other_encodings():
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]

    def lengths(encoding):
        found = {}
        for one in characters:
            try:
                found[one] = len(one.encode(encoding))
            except UnicodeEncodeError:
                pass
        return found

    gbk, gb18030, utf16 = lengths("gbk"), lengths("gb18030"), lengths("utf-16-le")
    assert set(gbk.values()) == {1, 2} and set(gb18030.values()) == {1, 2, 4} and set(utf16.values()) == {2, 4}
    assert len(lengths("utf-8")) == len(gb18030) == len(utf16) == len(characters) and "😀" not in gbk and "♀" in gbk
    chinese = [one for one in gbk if "\u4e00" <= one <= "\u9fff"]
    assert 20_000 < len(chinese) < 30_000 and all(gbk[one] == 2 for one in chinese)
    assert all(one.encode("gbk") == one.encode("gb18030") for one in gbk)
    assert lengths("latin-1") == {chr(c): 1 for c in range(256)}
    assert lengths("utf-32-le") == dict.fromkeys(characters, 4)
    assert "aé中😀".encode("utf-32-le")[4 * 2 : 4 * 3].decode("utf-32-le") == "中"
    assert "中a".encode("utf-32")[:4] == codecs.BOM_UTF32 and "中a".encode("utf-32")[4:8].decode("utf-32-le") in "中a"
    assert "a".encode("utf-16") == codecs.BOM_UTF16 + "a".encode(f"utf-16-{sys.byteorder[0]}e")
    assert all(one in gbk for one in "αжあ")
    for one in random.sample(chinese, 50):
        pair = one.encode("gbk").decode("latin-1")
        assert len(pair) == 2


@holds("`open(path)` without `encoding`")
@pitfall("\"'gbk' codec can't decode byte 0xae\" on Windows")
def check_default_encoding_of_open():
    """No GBK locale here: the message comes from naming GBK, the part of the locale from one that means ASCII."""
    plain = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "text.txt")
        path.write_bytes("亮\n中文".encode("utf-8"))
        raises(UnicodeDecodeError, lambda: path.read_text("gbk"), "'gbk' codec can't decode byte 0xae")
        assert path.read_text(encoding="utf-8") == "亮\n中文"
        for mode, works in (("utf8=0", False), ("utf8", True)):
            command = [sys.executable, "-X", mode, "-c", "import sys; print(open(sys.argv[1]).read())", path]
            ended = subprocess.run(command, env=plain, capture_output=True, encoding="utf-8", timeout=60)
            assert ("UnicodeDecodeError: 'ascii' codec" in ended.stderr) is not works, ended.stderr
            assert ("中文" in ended.stdout) is works
        raises(UnicodeEncodeError, lambda: path.write_text("😀", encoding="gbk"))
        path.write_text("😀", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "😀"


@pitfall("The text is garbled, without any error")
def check_silent_garbage():
    original = "你好é".encode("utf-8")
    bad = original.decode("latin-1")
    assert bad != "你好é" and original[:6].decode("gbk") == "浣犲ソ"
    assert bytes(range(256)).decode("latin-1").encode("latin-1") == bytes(range(256))
    assert original.decode("utf-8") == bad.encode("latin-1").decode("utf-8") == "你好é"


@pitfall('"锟斤拷" in the data')
def check_replacement_characters():
    source = "编码".encode("gbk")
    replaced = source.decode("utf-8", errors="replace")
    assert "锟斤拷" in replaced.encode("utf-8").decode("gbk", errors="replace") and "�" in replaced
    assert replaced == "中文".encode("gbk").decode("utf-8", errors="replace")
    assert source.decode("utf-8", errors="ignore") != "编码"
    raises(UnicodeDecodeError, lambda: source.decode("utf-8"))
    assert source.decode("gbk") == "编码"


@pitfall('A stream of tokens shows "�"')
def check_characters_cut_by_tokens():
    decoder = codecs.getincrementaldecoder("utf-8")()
    tokens = [b"\xe4\xb8", b"\xad", b"a"]
    assert "�" in "".join(one.decode("utf-8", errors="replace") for one in tokens)
    assert b"".join(tokens).decode("utf-8") == "".join(decoder.decode(one) for one in tokens) == "中a"
    assert "�" in b"".join(tokens[:1]).decode("utf-8", errors="replace")  # together, but before the end
    lenient, broken = codecs.getincrementaldecoder("utf-8")("replace"), [b"\xe4\xb8", b"a", *tokens]
    raises(UnicodeDecodeError, lambda: [decoder.decode(one) for one in broken], "can't decode")
    assert [lenient.decode(one) for one in broken] == ["", "�a", "", "中", "a"]


@pitfall("Two equal-looking words are different tokens")
def check_normal_forms():
    one, two = "caf\u00e9", "cafe\u0301"
    assert len({one, two}) == 2 and len({unicodedata.normalize("NFC", s) for s in (one, two)}) == 1
    assert unicodedata.normalize("NFKC", "ＡＢＣ") == "ABC" != unicodedata.normalize("NFC", "ＡＢＣ")
    assert unicodedata.normalize("NFKC", two) == one and unicodedata.normalize("NFKC", "²") == "2"


@pitfall("The first column is called `\\ufeffid`")
def check_byte_order_mark():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        path.write_bytes(b"\xef\xbb\xbfid,x\n1,2\n")
        for encoding, name in (("utf-8", "\ufeffid"), ("utf-8-sig", "id")):
            with open(path, encoding=encoding, newline="") as file:
                assert next(csv.DictReader(file)) == {name: "1", "x": "2"}
    assert "\ufeff".encode("utf-8") == bytes.fromhex("EFBBBF") and b"id".decode("utf-8-sig") == "id"


@holds("`str`", "`bytes`", '`s.encode(encoding="utf-8")`', '`b.decode(encoding="utf-8")`')
def check_the_two_types():
    text = "a中😀"
    data = text.encode()
    assert len(text) == 3 and len(data) == 1 + 3 + 4 == len(list(data)) and type(data) is bytes and type(data[0]) is int
    assert max(data) <= 255 and data.decode() == text == data.decode("utf-8") and chr(0x10FFFF) and chr(0) == "\0"
    raises(ValueError, lambda: bytes([256]), "range(0, 256)")
    raises(UnicodeEncodeError, lambda: text.encode("ascii"))
    raises(UnicodeDecodeError, lambda: data.decode("ascii"))


@holds("Python source files")
def check_source_encoding():
    for source in ("x = '中'".encode("utf-8"), "# coding: gbk\nx = '中'".encode("gbk")):
        scope = {}
        exec(compile(source, "source", "exec"), scope)
        assert scope["x"] == "中"
    raises(SyntaxError, lambda: compile("x = '中'".encode("gbk"), "source", "exec"), "utf-8")


@holds('Why is `len("👍🏽")` 2?', "How many bytes has a Chinese character in UTF-8?")
def check_other_facts():
    assert [unicodedata.name(one).split()[0] for one in "👍🏽"] == ["THUMBS", "EMOJI"]
    for c in range(0x110000):
        if unicodedata.name(chr(c), "").startswith("CJK UNIFIED IDEOGRAPH"):
            assert len(chr(c).encode("utf-8")) == (3 if c <= 0xFFFF else 4)
            assert c <= 0xFFFF or "?" == chr(c).encode("gbk", errors="replace").decode()
    raises(UnicodeEncodeError, lambda: "😀".encode("gbk"))
    raises(TypeError, lambda: "a" + b"a")
    assert len("👍🏽") == 2 and bytes.fromhex("d6d0").decode("latin-1") == "ÖÐ"
    assert len("𠀀".encode("utf-8")) == 4 and ord("𠀀") > 0xFFFF
