"""YAML as kubectl and Everest's accounts file hold it, by the rules of the real one's parser, go-yaml 2.

Read are block and flow maps and lists, plain, quoted and literal scalars, comments and `!!binary`; no anchors, no
aliases, one document.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    _Lines = list[tuple[int, str]]  # indentation and what follows it

# Words that a plain scalar gets a meaning by; go-yaml 2 still has the yes and no of YAML 1.1.
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NUMBER_STARTS = frozenset("0123456789+-.")
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_INT = r"[-+]?(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[1-9][0-9]*|0)"
_SPECIAL_FLOAT = r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
_TIMESTAMP = r"\d{4}-\d\d?-\d\d?([Tt ].*)?"
_BASE_60 = r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"
_NO_KEY_STARTS = frozenset("#[]{},&*!|>%@`\"'")
_KEY_LIMIT = 128  # longer keys are written behind a question mark
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "e": "\x1b", "a": "\a", "b": "\b", "v": "\v", "f": "\f"}
_CODE_LENGTHS = {"x": 2, "u": 4, "U": 8}


class BadYaml(ValueError):
    """In the words of go-yaml."""


class Word(str):
    """A plain scalar: what is written, whose meaning depends on where it stands."""

    __slots__ = ()


def read(text: str) -> Any:
    """Keys of maps are text as it is written, but the null: it is the empty text. Raises BadYaml."""
    return resolve(read_words(text))


def read_words(text: str) -> Any:
    """As `read`, but plain scalars stay the Words that they are."""
    return _Reader(text).document()


def is_plain(text: str) -> bool:
    """Whether the text may be written without quotes and is read as text again."""
    if not text or text != text.strip() or text[0] in "-?:,[]{}#&*!|>'\"%@`" or text in _WORDS:
        return False
    if ": " in text or " #" in text or text[-1] == ":" or min(text) < " ":
        return False
    return text[0] not in _NUMBER_STARTS or not _is_number(text)


def write_scalar(text: str) -> str:
    if is_plain(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def write_key(text: str) -> str:
    """With what separates it from its value."""
    shown = write_scalar(text)
    return f"? {shown}\n:" if len(text) > _KEY_LIMIT else f"{shown}:"


def _is_number(text: str) -> bool:
    """Or what could be taken for one, by whichever version of YAML."""
    digits = text if text[0] == "." else text.replace("_", "")
    forms = (_TIMESTAMP, _SPECIAL_FLOAT, _BASE_60)
    return _matches(_INT, digits) or _is_float(digits) or any(_matches(form, text) for form in forms)


def _is_float(digits: str) -> bool:
    """What is too large for one is a text."""
    return _matches(_FLOAT, digits) and abs(float(digits)) != float("inf")


def resolve(value: Any) -> Any:
    """Gives Words their meaning."""
    if isinstance(value, dict):
        return {key: resolve(item) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item) for item in value]
    if not isinstance(value, Word):
        return value
    if value in _WORDS:
        return _WORDS[value]
    if value[0] not in _NUMBER_STARTS:
        return str(value)
    digits = value.replace("_", "")
    if _matches(_INT, digits):
        return _read_int(digits)
    return float(digits) if _is_float(digits) else str(value)


def _read_int(digits: str) -> int:
    """A zero before digits makes them octal."""
    sign, size = (digits[0], digits[1:]) if digits[0] in "+-" else ("", digits)
    return int(sign + (f"0o{size[1:]}" if size[0] == "0" and size[1:].isdigit() else size), 0)


def _matches(form: str, text: str) -> bool:
    import re  # only now: it takes longer than most commands

    return re.fullmatch(form, text) is not None


def _read_key(key: Any) -> str:
    if isinstance(key, Word):
        return "" if _WORDS.get(key, key) is None else str(key)
    return str(key)


class _Reader:
    """A descent through the lines of one document."""

    def __init__(self, text: str) -> None:
        lines = text.replace("\r\n", "\n").split("\n")
        self._all: _Lines = [(len(line) - len(line.lstrip(" ")), line.strip(" ")) for line in lines]
        self._at = 0

    def document(self) -> Any:
        self._skip()
        if self._peek() is not None and self._line[1] == "---":
            self._at += 1
        value = self._block(0)
        if self._peek() is not None:
            raise BadYaml(f"yaml: line {self._at + 1}: could not find expected ':'")
        return value

    @property
    def _line(self) -> tuple[int, str]:
        return self._all[self._at]

    def _peek(self) -> tuple[int, str] | None:
        self._skip()
        return self._all[self._at] if self._at < len(self._all) else None

    def _skip(self) -> None:
        while self._at < len(self._all) and (not self._line[1] or self._line[1].startswith("#")):
            self._at += 1

    def _block(self, least: int) -> Any:
        found = self._peek()
        if found is not None and found[1][0] == "\t":
            raise BadYaml(f"yaml: line {self._at + 1}: found character that cannot start any token")
        if found is None or found[0] < least:
            return None
        indent, text = found
        if text == "-" or text.startswith("- "):
            return self._sequence(indent)
        if text == "?" or text.startswith("? ") or _split_key(text) is not None:
            return self._mapping(indent)
        self._at += 1
        return self._scalar(text, least - 1)

    def _sequence(self, indent: int) -> list[Any]:
        found = []
        while (line := self._peek()) and line[0] == indent and (line[1] == "-" or line[1].startswith("- ")):
            found.append(self._inner(line, 1))
        return found

    def _inner(self, line: tuple[int, str], length: int) -> Any:
        """What stands behind an indicator of this length, or on the lines below it."""
        rest = line[1][length:].lstrip(" ")
        if not rest or rest.startswith("#"):
            self._at += 1
            return self._block(line[0] + 1)
        self._all[self._at] = (line[0] + len(line[1]) - len(rest), rest)
        return self._block(line[0] + 1)

    def _mapping(self, indent: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        while (line := self._peek()) and line[0] == indent:
            if line[1] == "?" or line[1].startswith("? "):
                key = _read_key(self._inner(line, 1))
                after = self._peek()
                is_given = after is not None and after[0] == indent and after[1][:1] == ":"
                found[key] = self._inner(after, 1) if after and is_given else None
                continue
            parts = _split_key(line[1])
            if parts is None:
                break
            self._at += 1
            found[_read_key(parts[0])] = self._value(parts[1], indent)
        return found

    def _value(self, rest: str, indent: int) -> Any:
        if rest and not rest.startswith("#"):
            return self._scalar(rest, indent)
        following = self._peek()
        if following and following[0] == indent and (following[1] == "-" or following[1].startswith("- ")):
            return self._sequence(indent)
        return self._block(indent + 1)

    def _scalar(self, text: str, indent: int) -> Any:
        if text.startswith("!!"):
            return _read_tagged(text)
        if text[0] in "|>":
            return self._literal(text, indent)
        if text[0] in "[{\"'":
            return self._flow(text)
        if text[0] in "@`%\t":
            raise BadYaml(f"yaml: line {self._at}: found character that cannot start any token")
        words = [_strip_comment(text)]
        while (line := self._peek()) and line[0] > indent and indent >= 0 and _split_key(line[1]) is None:
            words.append(_strip_comment(line[1]))
            self._at += 1
        return Word(" ".join(words))

    def _literal(self, text: str, indent: int) -> str:
        taken = []
        while self._at < len(self._all) and (not self._line[1] or self._line[0] > indent):
            taken.append(self._line)
            self._at += 1
        least = min((line[0] for line in taken if line[1]), default=0)
        lines = [" " * (line[0] - least) + line[1] for line in taken]
        joined = ("\n" if text[0] == "|" else " ").join(lines).rstrip("\n ")
        return joined if "-" in text[:3] else joined + "\n"

    def _flow(self, text: str) -> Any:
        first = self._at
        while True:
            try:
                value, rest = _read_flow(text)
            except _Open:
                if self._at >= len(self._all):
                    if text.rstrip()[-1] in "[{,:":
                        raise BadYaml(f"yaml: line {first}: did not find expected node content") from None
                    kind = "']'" if text[0] == "[" else "'}'"
                    why = (
                        f"did not find expected ',' or {kind}" if text[0] in "[{" else "found unexpected end of stream"
                    )
                    raise BadYaml(f"yaml: line {first}: {why}") from None
                text += " " + self._line[1]
                self._at += 1
                continue
            if rest and not rest.startswith("#"):
                raise BadYaml(f"yaml: line {self._at}: did not find expected key")
            return value


class _Open(Exception):
    """A quote or bracket is not closed yet."""


def _split_key(text: str) -> tuple[Any, str] | None:
    """Key and value of a map's line; None where it is none."""
    if text[:1] in "\"'":
        try:
            key, rest = _read_flow(text)
        except _Open:
            return None
        return (key, rest[1:].strip(" ")) if rest == ":" or rest.startswith(": ") else None
    if text[0] in _NO_KEY_STARTS or text[0].isspace():
        return None
    at = text.find(":", 1)
    while at > 0 and text[at + 1 : at + 2] not in ("", " "):
        at = text.find(":", at + 1)
    return (Word(text[:at].rstrip()), text[at + 1 :].lstrip(" ")) if at > 0 else None


def _read_tagged(text: str) -> Any:
    tag, _, rest = text.partition(" ")
    value = _read_flow(rest)[0] if rest[:1] in "\"'" else _strip_comment(rest)
    if tag == "!!binary":
        import binascii

        return binascii.a2b_base64(value)
    return str(value) if tag == "!!str" else Word(value)


def _strip_comment(text: str) -> str:
    at = text.find("#", 1)
    while at > 0 and not text[at - 1].isspace():
        at = text.find("#", at + 1)
    return text[:at].rstrip() if at > 0 else text.rstrip()


def _read_flow(text: str) -> tuple[Any, str]:
    """One value and what follows it. Raises _Open."""
    text = text.lstrip(" ")
    match text[:1]:
        case "":
            raise _Open
        case '"':
            return _read_double_quoted(text)
        case "'":
            return _read_single_quoted(text)
        case "[":
            return _read_flow_list(text[1:])
        case "{":
            return _read_flow_map(text[1:])
    end = _find_word_end(text)
    return Word(_strip_comment(text[:end])), text[end:].lstrip(" ")


def _find_word_end(text: str) -> int:
    """A colon belongs to a word where more of it follows at once."""
    end = _find_mark(text, 0)
    while 0 < end < len(text) - 1 and text[end] == ":" and text[end + 1] not in ",[]{}" and not text[end + 1].isspace():
        end = _find_mark(text, end + 2)
    return end


def _find_mark(text: str, start: int) -> int:
    return next((at for at in range(start, len(text)) if text[at] in ",[]{}:"), len(text))


def _read_single_quoted(text: str) -> tuple[str, str]:
    found, at = "", 1
    while (end := text.find("'", at)) > 0:
        found += text[at:end]
        if text[end + 1 : end + 2] != "'":
            return found, text[end + 1 :].lstrip(" ")
        found, at = found + "'", end + 2
    raise _Open


def _read_double_quoted(text: str) -> tuple[str, str]:
    found, at = "", 1
    while at < len(text):
        char = text[at]
        if char == '"':
            return found, text[at + 1 :].lstrip(" ")
        if char == "\\" and at + 1 < len(text):
            escape = text[at + 1]
            length = _CODE_LENGTHS.get(escape, 0)
            found += chr(int(text[at + 2 : at + 2 + length], 16)) if length else _ESCAPES.get(escape, escape)
            at += 2 + length
        else:
            found, at = found + char, at + 1
    raise _Open


def _read_flow_list(text: str) -> tuple[list[Any], str]:
    found: list[Any] = []
    while True:
        text = text.lstrip(" ")
        if text.startswith("]"):
            return found, text[1:].lstrip(" ")
        value, text = _read_flow(text)
        found.append(value)
        text = _pass_comma(text, "]")


def _read_flow_map(text: str) -> tuple[dict[Any, Any], str]:
    found: dict[Any, Any] = {}
    while True:
        text = text.lstrip(" ")
        if text.startswith("}"):
            return found, text[1:].lstrip(" ")
        key, text = _read_flow(text)
        value: Any = Word("")
        if text.startswith(":"):
            rest = text[1:].lstrip(" ")
            value, text = (Word(""), rest) if rest[:1] in ",}" and rest else _read_flow(rest)
        found[_read_key(key)] = value
        text = _pass_comma(text, "}")


def _pass_comma(text: str, end: str) -> str:
    if not text:
        raise _Open
    if text[0] not in "," + end:
        raise BadYaml(f"yaml: line 1: did not find expected ',' or '{end}'")
    return text[1:] if text[0] == "," else text
