# SPDX-License-Identifier: Apache-2.0
"""Patterns for referee_regex.py."""

_CASED = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

# Of published tokenizer.json files, and of llama.cpp's names for them.
FAMILIES = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
              r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "llama.cpp's llama3":
        r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "lfm2.5": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
              r"|\s*[\r\n]|\s+(?!\S)|\s",
    "cl100k, possessive": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
                          r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
             r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen3.5": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
               r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "tekken": rf"[^\r\n\p{{L}}\p{{N}}]?{_CASED[0]}*{_CASED[1]}+|[^\r\n\p{{L}}\p{{N}}]?{_CASED[0]}+{_CASED[1]}*"
              r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "llama.cpp's tekken":
        r"[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+"
        r"|[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))+((?=[\p{L}])([^A-Z]))*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt-4o": rf"[^\r\n\p{{L}}\p{{N}}]?{_CASED[0]}*{_CASED[1]}+{_SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?{_CASED[0]}+"
              rf"{_CASED[1]}*{_SUFFIX}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "kimi": r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
            rf"[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}&&[^\p{{Han}}]]+{_SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?"
            r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
            rf"{_SUFFIX}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "deepseek-v3": "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?"
                   r"[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "deepseek, CJK": "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    "deepseek-coder, words": r"\s?\p{L}+",
    "deepseek-coder, punctuation": r"\s?\p{P}+",
    "deepseek-llm, spaces": r"\s+$",
    "line ends": r"[\r\n]",
    "digits": r"\p{N}",
    "digits in threes": r"\p{N}{1,3}",
    "digits of falcon": r"[0-9][0-9][0-9]",
    "falcon": r"[\p{P}\$\+<=>\^~\|`]+",
    "bloom": " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+",
    "poro": " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+",
    "blank": " ",
    "words of Whitespace": r"\w+|[^\w\s]+",
}

PROPERTIES = [
    *(rf"\p{{{c}}}" for c in
      "C Cc Cf Cn Co L Ll Lm Lo Lt Lu LC M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs "
      "Arabic Armenian Bengali Bopomofo Common Cyrillic Devanagari Ethiopic Georgian Greek Gujarati Gurmukhi "
      "Han Hangul Hebrew Hiragana Inherited Kannada Katakana Khmer Lao Latin Malayalam Mongolian Myanmar "
      "Oriya Sinhala Tamil Telugu Thai Tibetan Any ASCII White_Space Word".split()),
    r"\s", r"\S", r"\d", r"\D", r"\w", r"\W", r"\h", r"\p{^L}", r"\P{L}", r"\P{^L}",
    r"\p{Uppercase_Letter}", r"\p{lowercase letter}", r"\p{Nonspacing_Mark}", r"\p{Spacing_Mark}",
    *(f"[[:{c}:]]" for c in "digit space cntrl word ascii xdigit punct".split()),
    *(f"[[:^{c}:]]" for c in "digit space punct".split()),
    r"[^\s\p{L}]", r"[\p{L}&&[^\p{Han}]]", r".", r"\N", r"\O", r"(?i:[^k])", r"(?i:[a-z])",
]

SHORT = ["", "a", "ab ba", "aab\n", "\n\na b\n", "aaaab", "123 45\n", "bab1a", " a  b", "AB ab", "a-b&c]"]

# A pattern, and a text that shows what it means.
SYNTAX = [
    ("a{1,2}+", "aaaaa b"), ("a{2}?", "aaaaa"), ("a{2}?b", "bb"), ("a{2,2}?b", "bb"), ("a{2}+", "aaaaa"),
    ("a{,2}b", "aab a{,2}b"), ("a{2", "a{2"), ("a{,}", "a{,}"), ("a{ 1}", "a{ 1}"), ("a{1,a}", "a{1,a}"),
    ("{1}", "{1}"), ("a{1}{2}", "aaa"), ("x{3,1}", "xxxx"), ("a{0}b", "aab"), ("a{2,3}?", "aaa"),
    ("^a", "a\na"), ("a$", "a\na"), (r"a\z", "a\na"), (r"\Aa", "a\na"), ("^$", "a\n\nb\n"), ("$", "a\n"),
    ("^", "a\n"), ("b|^", "a\nb\n"), (r"\s+$", "a \n"), (r"\s++$", "a \nb"), (r"a\Z", "a\n"), (".", "\n\r"),
    ("(?m:.)", "a\n"), ("(?s:.)", "a\n"), ("(?x: a b )", "ab"), ("(?i-m:a)", "A"), ("a(?i)b|c", "aB C c"),
    ("a|(?i)b|c", "ABC abc"), ("(?i)a(?-i)b", "Ab AB"), ("(?i:a(?-i:b))", "Ab AB"), ("(?i", "A"),
    (r"\h", "gA"), (r"\R", "\r\n"), (r"\X", "e\u0301e"), (r"\K", "a"), (r"\G", "a"), (r"\q", "q"),
    (r"\-", "-"), (r"\/", "/"), (r"\ ", " "), (r"\0", "\0"), (r"\101", "A"), (r"\cA", "\x01"),
    (r"\x41", "AB"), (r"\x{41}", "AB"), (r"\x{1F600}", "\U0001F600"), (r"\u0041", "AB"), (r"\u41", "AB"),
    (r"\x{110000}", "a"), (r"\e\a\f\v\t", "\x1b\x07\x0c\x0b\t"),
    ("[a-z&&[^aeiou]]", "abce"), ("[^a-z&&[^aeiou]]", "abce1"), ("[a&&b]", "ab"), ("[&&a]", "a&"),
    ("[a&&]+", "&a"), ("[^&&a]+", "&ab"), ("[&a]+", "&a"), ("[a-z&&[aeiou]x]+", "aexb"),
    ("[a-z&&[^aeiou&&[^e]]]+", "abeioc"), ("[a-]", "a-b"), ("[-a]", "a-b"), ("[--a]", "-09a"),
    ("[a-c-e]+", "abce-d"), ("[]a]", "]a"), ("[^]a]", "]ab"), ("[]", "a"), ("[a", "a"), ("[a[bc]]", "abcd["),
    ("[^a[b]]", "abc"), ("[^[^a]]", "abc"), (r"[a-\d]", "a-1b"), (r"[\d-a]", "a-1b"), (r"[\w-]+", "a-b c"),
    ("[z-a]", "a"), (r"[\b]", "\x08b"), (r"[a\]b]", "]"), ("[a[:digit:]]+", "a1:"), ("[:digit:]+", "a1:dg"),
    ("[[:foo:]]", "a1"), ("[[:^digit:]]", "a1"), (r"[\x{41}-\x{43}]", "ABCD"), (r"[^\s\S]|a", "ab"),
    (r"\bfoo\b", "a foo b"), (r"\B", "ab c"), (r"\b", "ab c"), (r"\b\u00e9", "\u00e9 a\u00e9"),
    ("(?<=a)b", "abb"), ("(?<!a)b", "abb"), (r"(?<=\s)\d", "1 1"), (r"(?<!\d)1", "1 11"), ("(?<=^)a", "aa"),
    ("a(?=b)", "ab a"), ("a(?!b)", "ab a"), ("a(?=b|$)", "ab a\nac"), ("a(?!b|c)", "abacad"),
    (r"a(?=\d+)", "a1 a"), (r"a(?!\d*)", "a1"), ("(?=a|b)", "abc"), ("(?!)a|b", "ab"), ("(?=)a", "a"),
    ("(?=bc)b", "abc"), ("(?<n>a)b", "aab"), (r"(?<n>a)\k<n>", "aab"), (r"(a)\1", "aab"), ("(?>a+)b", "aab"),
    ("(?>a|ab)c", "abc"), ("(?>a|ab)", "abc"), ("(?#c)a", "a"), ("(?~a)", "bba"), ("(*FAIL)", "a"),
    ("a**", "aa"), ("a+?+", "aa"), ("a?+a", "aa"), ("a*+a", "aaa"), ("a++b", "aab"), ("a*+b", "aab"),
    ("(?:ab)++", "abab"), ("(?:ab)*+a", "aba"), ("a??b", "aab"), ("a*?b", "aab"), ("a+?b", "aab"), ("a+?", "aab"),
    ("*a", "*a"), ("a|*", "a*"), ("(a", "a"), ("a)", "a)"), ("(?:a|ab)(?:c|bcd)", "abcd"), ("(a*)*b", "aab"),
    ("(?:a?)*?b", "aab"), ("a||b", "ab"), ("", "ab"), ("x*", "aaxb"), ("(|a)b", "ab"), ("()a", "aa"), ("(?:)", "aa"),
    ("(a|b)*abb", "abaabbabb"), ("(?:a|b)*?abb", "abaabbabb"), ("ab|a", "ab a"), ("a|ab", "ab a"), ("a.*b", "aabab c"),
    (r"\p{", "a"), (r"\p{Foo}", "a"), (r"\p{L", "a"), (r"\pL", "aL"), (r"\p{Script=Han}", "a"), (r"\p{IsHan}", "a"),
    ("(?i)k", "K k \u212a"), ("(?i:'s|'t)", "'\u017f 'T"), ("(?i:[^s])", "\u017fsk"), (r"(?i:\x{6b})", "\u212a"),
    ("(?i:[[^a]b])", "ABC"), ("(?i:ss)", "\u00df ss"), ("(?i:\u00df)", "\u00df ss"), ("(?i:s)s", "\u00df ss"),
    (r"(?i:\p{Lu})", "aA"), ("(?i:st)", "\ufb05 st"), ("(?i:f+i)", "\ufb01 ffi"), ("(?i:[s]s)", "\u00df ss"),
    ("(?i:(?:s)s)", "\u00df ss"), ("(?i:xss)", "X\u00df XSS"), ("(?i:sss)", "\u00dfS s\u00df SSS"),
    ("(?i:i)", "iI\u0131\u0130i\u0307"), ("(?i:\u03c3)", "\u03a3\u03c3\u03c2"), ("(?i:ffi)", "\ufb01\ufb03\ufb00if\ufb01"),
]


def _random_class(rng):
    parts = [rng.choice(["a", "b", "a-c", r"\s", r"\d", "-", "[^b]", "1", r"\n", "[ab]", "&&[^c]", "&&"])
             for _ in range(rng.randint(1, 3))]
    return "[" + rng.choice(["", "", "^"]) + "".join(parts) + "]"


def _random_pattern(rng, depth):
    kind = rng.randrange(12 if depth > 0 else 5)
    if kind < 3:
        return rng.choice(["a", "b", "c", "ab", " ", "1", r"\s", r"\d", ".", r"\S", r"\n", r"\w"])
    if kind == 3:
        return _random_class(rng)
    if kind == 4:
        return rng.choice(["^", "$", r"\b", r"\B", r"(?!\S)", "(?=a)", "(?!b)", "(?<=a)", r"\z", r"\A", "(?<!a)"])
    if kind < 7:
        return _random_pattern(rng, depth - 1) + _random_pattern(rng, depth - 1)
    if kind == 7:
        return f"(?:{_random_pattern(rng, depth - 1)}|{_random_pattern(rng, depth - 1)})"
    if kind == 8:
        return f"{_random_pattern(rng, depth - 1)}|{_random_pattern(rng, depth - 1)}"
    item = rng.choice([f"(?:{_random_pattern(rng, depth - 1)})", _random_class(rng), "a", r"\s", "."])
    return item + rng.choice(["*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{1,2}", "{0,2}?", "{2,}"])


def random_cases(rng, count):
    def text():
        return "".join(rng.choice("aaabbbc 1\n ") for _ in range(rng.randint(0, 14)))

    return [(_random_pattern(rng, 4), [text() for _ in range(6)]) for _ in range(count)]
