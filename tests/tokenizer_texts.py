# SPDX-License-Identifier: Apache-2.0
"""Texts for referee_tokenizers.py: the same in every run, rich in what tokenizers stumble over."""
import sys
import unicodedata

SAMPLES = [
    "The quick brown fox jumps over the lazy dog; it's what they'll say we'd done, isn't it? I'm "
    "sure you've heard they're 'ready', DON'T SHOUT: I'LL, WE'RE. 3rd of 10,000 or 2.5e-3.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich – „schön“, sagte er ‚leise‘.",
    "Voix ambiguë d'un cœur qui, au zéphyr, préfère les jattes de kiwis. L'été où j'ai vu l'île.",
    "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío. ¿Añoraba? ¡Sí, señor!",
    "Pchnąć w tę łódź jeża lub ośm skrzyń fig. Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Їжак, ґанок, ў Беларусі.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ὦ ξεῖν᾽, ἀγγέλλειν Λακεδαιμονίοις ὅτι τῇδε κείμεθα.",
    "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה. בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם.",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر. اَلْحَمْدُ لِلّٰهِ رَبِّ ١٢٣٤٥٦٧٨٩٠ ۱۲۳۴",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले विष्णुवतार। १२३४५",
    "আমি বাংলায় গান গাই, আমি বাংলার গান গাই। ড় ঢ় য় কো কৌ ১২৩",
    "ஆறில் ஒரு பங்கு கொடு, கோழி கௌதாரி. ൧൨൩ മലയാളം കോഴി. ಕನ್ನಡ ಕೋಳಿ. తెలుగు ౧౨౩.",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน ๑๒๓ น้ำ ນ້ຳ ພາສາລາວ",
    "いろはにほへと ちりぬるを。ガギグゲゴ ぱぴぷぺぽ。漢字仮名交じり文、全角１２３ＡＢＣ。",
    "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。一二三〇，㈠㈡㊀。𠀀𠮷𪚥 豈更車賈",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. 각 각 각",
    "Tiếng Việt có dấu: Lười biếng thì chẳng được việc gì, ngườ̛i ơi. Ế ệ ộ ữ",
    "აბგდევზთ იკლმნ. Հայերեն լեզու։ ខ្មែរ ភាសា ១២៣. မြန်မာ ၁၂၃. བོད་སྐད་ ༡༢༣. አማርኛ ፩፪፫.",
    "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇩🇪🇫🇷 ❤️‍🔥 1️⃣ 🧑🏿‍🚀 ☃︎ ☺️ 🫠 … — “quotes” ‘n’ ’s ‼ ⁉ ½ ⅔ Ⅷ ² ₃ ①",
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β ≡ ¬(¬α ∨ β), ℕ ⊆ ℤ, Å Å Å, Ω Ω, ﬁ ﬂ ŀ Ǆ",
    "int main() {\n    for (int i = 0; i < 10; ++i) {\n\t\tprintf(\"%d\\n\", i);  // loop\n    }\n"
    "                                return 0;\n}\n\n\n",
    "line one\r\nline two\r\n\r\n   indented\n\ttab\n \n  \n   x    y     z\n",
]

WHITE_SPACE = ("\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
               "\u2009\u200a\u2028\u2029\u202f\u205f\u3000")
NOT_WHITE_SPACE = "\x1c\x1d\x1e\x1f\u180e\u200b\u200c\u200d\u2060\ufeff\x00\x7f"
MARKS = ("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030c\u0316\u0323\u0327\u0328\u031b"
         "\u0331\u0334\u0345\u05b0\u05bc\u0650\u0651\u093c\u094d\u0f71\u0f72\u0f74\u3099\u309a\u20dd"
         "\U0001d165\U0001d16d\U000110ba\U0001e944")
BASES = "aeiouAEIOUcsnkq\u00c5\u00e9\u1ea5\u03b1\u03c9\u0627\u0915\u0928\u304b\u306f\u1100\u05e9="
JAMO = "\u1100\u1112\u1161\u1175\u11a8\u11c2\u11a7\u1113\u1176\uac00\uac01\ud7a3"
DIGITS = "0123456789\u0660\u0969\u0e53\u00b2\u00bd\u2167\u3007\u2460\uff15\U0001d7d8\U0001f100"
FRAGMENTS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'", "''", " '", "'x", "'l",
             "'r", "\u2019s", "<|endoftext|>", "<|padding|>", "<|endoftext|", "|>", "<|im_start|>",
             "<|im_start|>user", "<|im", "<", "<|", "the", " the", "ther", " hello", "World", "123",
             " 42", "...", "!?", " (", ") ", "\n\n", "\r\n", "    ", "  ", " ", " ", "\t", "_", "-",
             "\u00e9", "e\u0301", "e\u0301t", "\u00c5\u0327", "\u4e2d\u6587", "\U0001f600",
             "\U0001f469\u200d\U0001f52c", "\u0120", "\u010a", "\ufffd", "\U0010ffff", "\ue000"]

GOLDEN = ["", " ", "  ", "   ", "a  b", "a   b", " " * 24, " " * 25, " " * 26, " " * 49, "x" + " " * 26,
          " " * 25 + "word", "\n", "\n\n\n", " \n \n", "\t\tx", "\u00a0\u00a0x", "\u3000 \u3000y", "Hello",
          " Hello", "Hello world", "it's", "it' s", "IT'S", "we'll've'd", "12345678901234567890",
          "a1b2", "<|endoftext|>", "<|endoftext|><|endoftext|>", "x<|endoftext|> y", "<|padding|>",
          "<|endoftext", "e\u0301", "\u0301e", "<|endoftext|>\u0301", "\u1100\u1161\u11a8", "\u212b",
          "\uf900", "\u0344", "a\u0323\u0302", "a\u0302\u0323", "\U0001d15e", "\u0000", "\ufeffx"] + SAMPLES


def byte_symbol(byte):
    """The character that stands for a byte in a vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    if byte in printable:
        return chr(byte)
    return chr(0x100 + sum(1 for b in range(byte) if b not in printable))


def project_files(root):
    out = []
    for folder in ("include", "tests", "bench", "examples", "tools"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".hpp", ".cpp", ".py", ".md", ".txt", ".sh") and path.is_file():
                out.append(path.read_text(encoding="utf-8"))
    return out


def prose(rng, size):
    """Paragraphs and pages of the samples, mixed."""
    out, done = [], 0
    while done < size:
        words = " ".join(rng.choice(SAMPLES) for _ in range(rng.randint(1, 12))).split(" ")
        rng.shuffle(words)
        out.append(" ".join(words[:rng.randint(1, len(words))]))
        done += len(out[-1].encode())
    return out


def mixtures(rng, count):
    """Short strings put together from everything above."""
    def part():
        kind = rng.randrange(8)
        if kind == 0:
            return "".join(rng.choice(WHITE_SPACE) for _ in range(rng.randint(1, 6)))
        if kind == 1:
            return rng.choice(BASES) + "".join(rng.choice(MARKS) for _ in range(rng.randint(1, 5)))
        if kind == 2:
            return "".join(rng.choice(JAMO) for _ in range(rng.randint(1, 5)))
        if kind == 3:
            return "".join(rng.choice(DIGITS) for _ in range(rng.randint(1, 4)))
        if kind == 4:
            return " " * rng.randint(1, 30)
        if kind == 5:
            return rng.choice(NOT_WHITE_SPACE)
        if kind == 6:
            return rng.choice(rng.choice(SAMPLES).split(" "))
        return rng.choice(FRAGMENTS)

    return ["".join(part() for _ in range(rng.randint(1, 12))) for _ in range(count)]


def scalar(rng):
    top = rng.choice([0x80, 0x800, 0x3000, 0x10000, 0x20000, 0x110000])
    while True:
        c = rng.randrange(top)
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def code_points(rng, count):
    """Random code points of all planes."""
    return ["".join(scalar(rng) for _ in range(rng.randint(1, 60))) for _ in range(count)]


def long_pieces(rng):
    """Long strings that no rule cuts, or only at their ends."""
    letters = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(150_000))
    return ["a" * 200_000, letters, " " * 100_000 + "x", "\n" * 50_000, "!?" * 50_000,
            "7" * 100_000, "e\u0301" * 40_000, "a" + "\u0301\u0316" * 10_000, "\uac00" * 50_000,
            "ab" * 24, "ab" * 24 + "c", "the" * 17]


def invalid_utf8(rng, count):
    """Bytes: random, and valid text that was damaged."""
    out = []
    for _ in range(count):
        if rng.random() < 0.5:
            data = bytearray(rng.choice([rng.randrange(256), rng.randrange(0x80, 0x100)])
                             for _ in range(rng.randint(1, 40)))
        else:
            data = bytearray(rng.choice(SAMPLES)[:40].encode())
            for _ in range(rng.randint(1, 4)):
                at = rng.randrange(len(data))
                data[at:at + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 2))
                if not data:
                    break
        out.append(bytes(data))
    out += [b"\xf0\x90", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xe2\x82", b"\xff" * 9]
    return out


def in_strings(parts, size=1000):
    return ["".join(parts[i:i + size]).encode() for i in range(0, len(parts), size)]


def scalars():
    return [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]


def every_code_point():
    return in_strings([f"{c}a{c}1{c}." for c in scalars()])


def every_mark(rng):
    """All that may be a mark, between marks; all that decomposes, decomposed; random mixtures."""
    marks = [c for c in scalars() if unicodedata.category(c)[0] == "M" or
             unicodedata.category(c) == "Cn" and ord(c) < 0x20000]
    composed = [c for c in scalars() if unicodedata.normalize("NFD", c) != c]
    parts = [f"a\u0345{c}\u0334b q\u0316{c}\u0301 {c}" for c in marks]
    parts += [f"{c}{unicodedata.normalize('NFD', c)}{c}\u0301 {c}" for c in composed]
    pool = marks[:2500] + composed + list(MARKS * 40 + BASES * 40 + JAMO * 40)
    for _ in range(40_000):
        part = "".join(rng.choice(pool) for _ in range(rng.randint(1, 8)))
        parts.append(unicodedata.normalize(rng.choice(["NFC", "NFD"]), part)
                     if rng.random() < 0.5 else part)
    return in_strings(parts)
