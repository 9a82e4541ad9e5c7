import codecs
import random
import unicodedata

from note_checks import check, formula, raises, stated

LENGTH = (
    r"\mathrm{len}(c) = \begin{cases} 1 & c < 2^{7} \\ 2 & 2^{7} \le c < 2^{11} \\ 3 & 2^{11} \le c < 2^{16} \\"
    r" 4 & 2^{16} \le c \le \mathtt{10FFFF}_{16} \end{cases}"
)
BITS = (
    r"\big(224 + \lfloor c / 2^{12} \rfloor,\ \ 128 + \lfloor c / 2^{6} \rfloor \bmod 2^{6},\ \ 128 + c \bmod 2^{6}\big)"
)


def points(low, high):
    return [c for c in {low, high, *(random.randint(low, high) for _ in range(500))} if not 0xD800 <= c <= 0xDFFF]


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


@check
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
    assert len(gb18030) == len(utf16) == len(characters) and "😀" not in gbk and "♀" in gbk
    chinese = [one for one in gbk if "\u4e00" <= one <= "\u9fff"]
    assert 20_000 < len(chinese) < 30_000 and all(gbk[one] == 2 for one in chinese)
    assert list(lengths("latin-1")) == [chr(c) for c in range(256)]
    for one in random.sample(chinese, 50):
        pair = one.encode("gbk").decode("latin-1")
        assert len(pair) == 2


@check
def check_pitfalls():
    for data, encoding in (("😀", "gbk"),):
        try:
            data.encode(encoding)
        except UnicodeEncodeError:
            continue
        raise AssertionError("GBK has no emoji")
    raises(UnicodeDecodeError, lambda: "注册®“引”".encode("utf-8").decode("gbk"), "'gbk' codec can't decode byte")
    bad = "中文é".encode("utf-8").decode("latin-1")
    assert bad != "中文é" and bad.encode("latin-1").decode("utf-8") == "中文é"
    assert "\ufffd\ufffd".encode("utf-8").decode("gbk") == "锟斤拷"
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces = [bytes([byte]) for byte in "中a".encode("utf-8")]
    assert "".join(decoder.decode(one) for one in pieces) == "中a"
    assert "\ufffd" in "".join(one.decode("utf-8", errors="replace") for one in pieces)
    assert unicodedata.normalize("NFKC", "ＡＢＣ") == "ABC" != unicodedata.normalize("NFC", "ＡＢＣ")
    assert len("👍🏽") == 2 and bytes.fromhex("d6d0").decode("latin-1") == "ÖÐ"
    bom = b"\xef\xbb\xbfid"
    assert bom.decode("utf-8") == "\ufeffid" and bom.decode("utf-8-sig") == "id"
    raises(TypeError, lambda: "a" + b"a")
    assert len("𠀀".encode("utf-8")) == 4 and ord("𠀀") > 0xFFFF
