"""Texts that slow patterns and slow functions are slow on: runs of what they look for, and what machines write."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache, partial

RUNS = {
    "spaces": " ",
    "line breaks": "\n",
    "carriage returns": "\r\n",
    "tabs": "\t",
    "full stops": ".",
    "question marks": "?!",
    "brackets": "[",
    "bracket and space": "[ ",
    "parentheses": "(",
    "angles": "<",
    "angle and space": "< ",
    "tags": "<a:",
    "closed tags": "</s>",
    "functions": "<function_",
    "ampersands": "&#0",
    "entities": "&lt;",
    "bars": "|",
    "bar and space": "| ",
    "role lines": "system:\n",
    "role words": "system ",
    "quotes": '"',
    "stops and quotes": '."',
    "apostrophes": "o'",
    "stars": "**a ",
    "backticks": "`a ",
    "code fences": "~~~a",
    "links": "[a](",
    "pictures": "![",
    "addresses": "http://",
    "headings": "#",
    "bullets": "- a\n",
    "hyphens": "a-",
    "underscores": "a_",
    "under": "_",
    "dotted": "a.",
    "colons": "a:",
    "slashes": "/",
    "source places": "/a.rs:1",
    "at signs": "a@",
    "mail": "a@b.",
    "one letter": "a",
    "capitals": "A",
    "names": "Aa ",
    "camel": "aA",
    "letter and digit": "1a",
    "digits": "1",
    "digit and space": "1 ",
    "digit and parenthesis": "1(",
    "dates": "1.1.",
    "iso": "2020-01-01t",
    "years": "2020年1月",
    "sums": "€1,",
    "codes": "AB-12 ",
    "abbreviations": "Dr. e.g. ",
    "possessives": "a's ",
    "you said": "did you hast du as-tu ",
    "gathering": "what are how many list all of ",
    "promises": "I will also please remind me to ",
    "decisions": "we decided let's go with ",
    "facts": "my a I'm an ",
    "heading": "Conversation of 1 May 2020 between a and ",
    "times": "last week monday the of before after since ",
    "German": "haben sie morgen gesagt ",
    "French": "la semaine dernière avez-vous ",
    "Russian": "на прошлой неделе когда ",
    "Arabic": "الأسبوع الماضي قبل ",
    "Hindi": "पिछले सप्ताह कब ",
    "Greek": "την προηγούμενη εβδομάδα ",
    "Hebrew": "בשבוע שעבר מתי ",
    "Korean": "지난주에 언제 ",
    "Thai": "เมื่อวานนี้",
    "Chinese": "上周一你推荐",
    "Japanese": "先週の月曜日に、",
    "Armenian": "անցյալ շաբաթ ",
    "one ideograph": "你",
    "ideographic stops": "上。",
    "full width": "＜ｓｙｓｔｅｍ＞：",
    "accents": "e\u0301",
    "marks": "\u0301",
    "marks out of order": "\u0301\u0323",
    "joiners": "\u200d",
    "joined emoji": "😀\u200d",
    "emoji": "😀",
    "right to left": "\u202e",
    "one that becomes many": "\ufdfa",
    "dotted capital": "İ",
    "conjoining": "\u1100\u1161\u11a8",
    "control": "\x07",
    "long word and stop": "x" * 399 + ". ",
}
ENDS = ("", "x", "\n-", "!")
STARTS = {
    "[": " ",
    "<": " ",
    "<<": " ",
    "&#": "0",
    "|": " ",
    "a@a.": "-",
    "1": "(",
    ".": '"',
    "<function": "_",
    "a": "\u0301",
}


def texts() -> Iterator[tuple[str, Callable[[int], str]]]:
    """(name, a text of so many characters)."""
    for name, run in RUNS.items():
        yield name, partial(_repeated, run)
    for start, run in STARTS.items():
        yield f"{start} and a run of {run!r}", partial(_begun, start, run)
    for name, made in MACHINES.items():
        yield name, partial(_cut, made)


def _repeated(run: str, size: int) -> str:
    return (run * (size // len(run) + 1))[: size - 1] + "x"


def _begun(start: str, run: str, size: int) -> str:
    return start + run * (size - len(start) - 1) + "-"


def _cut(made: Callable[[int], str], size: int) -> str:
    return made(size)[:size]


def _bytes(size: int) -> bytes:
    return b"".join(hashlib.sha256(bytes([number % 256, number // 256])).digest() for number in range(size // 32 + 1))


def _lines(line: Callable[[str], str]) -> Callable[[int], str]:
    def made(size: int) -> str:
        digits = _bytes(size).hex()
        return "".join(line(digits[at : at + 32]) for at in range(0, len(digits), 32))

    return made


def _letters(size: int) -> str:
    return "".join(chr(97 + byte % 26) if byte > 40 else " " for byte in _bytes(size))


MACHINES: dict[str, Callable[[int], str]] = {
    "hexadecimal": lambda size: _bytes(size).hex(),
    "hexadecimal words": _lines(lambda d: f"{d[:8]} {d[8:12]} {d[12:]} "),
    "uuids": _lines(lambda d: f"{d[:8]}-{d[8:12]}-{d[12:16]}-{d[16:20]}-{d[20:]}\n"),
    "base64": lambda size: base64.b64encode(_bytes(size)).decode(),
    "base64 lines": lambda size: base64.encodebytes(_bytes(size)).decode(),
    "random letters": _letters,
    "log": _lines(
        lambda d: f'2026-05-01T12:00:{int(d[:2], 16) % 60:02} 10.0.0.1 "GET /{d[2:9]}?q={d[9:]}" 200 {int(d[:3], 16)}\n'
    ),
    "json": _lines(lambda d: json.dumps({"id": d[:12], "n": int(d[:4], 16), "tags": [d[12:16], None, True]}) + ","),
    "minified": _lines(lambda d: f"function {d[0]}(e,t){{return e.{d[1:5]}&&t[0]||!1}};var {d[5:8]}=[1,2];"),
    "links": _lines(lambda d: f"https://example.com/{d[:16]}?a={d[16:]} "),
    "table": _lines(lambda d: f"| {d[:6]} | **{d[6:9]}** | `{d[9:12]}` |\n"),
    "csv": _lines(lambda d: f"{int(d[:6], 16)},{d[6:12]},{int(d[12:14], 16)}.5,\n"),
    "html": _lines(lambda d: f'<div class="{d[:8]}"><a href="/{d[8:]}">x</a></div>'),
    "many characters": lambda size: "".join(chr(0x21 + number * 31 % 0x1000) for number in range(size)),
}


@cache
def of_length(size: int) -> dict[str, str]:
    return {name: made(size) for name, made in texts()}
