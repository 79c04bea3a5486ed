"""Prompt language, parsed into prompts: `(periodic(7) | beats(after=75ms)) & codebooks(3)`.

    expression = term { "|" term }            kept if either side keeps it
    term       = factor { "&" factor }        kept if both sides keep it; binds tighter than |
    factor     = "(" expression ")" | name [ "(" [ argument { "," argument } ] ")" ]
    argument   = [ name "=" ] value           value: a number, a time (1.5, 75ms, 1:05, 4f, 2b), inf, or a word
               | codebooks "@" time ":" time  strokes of paint and erase alone: 1-2@0.5:1.5, 4@40f:52f, all@2b:inf

A name is a part (`periodic`, `keep`, ...) or a preset (`vary`). `str(prompt)` is text that parses to the same prompt.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from vampnet.errors import PromptError
from vampnet.prompts.painted import Erase, Paint, parse_stroke
from vampnet.prompts.parts import Codebooks, Drop, Everything, Keep, Nothing, Periodic, Prompt, Random
from vampnet.prompts.presets import PRESETS
from vampnet.prompts.rhythmic import Beats, Onsets, Prefix, Suffix

T = TypeVar("T")

PARTS: dict[str, type[Prompt]] = {
    kind.__name__.lower(): kind
    for kind in (
        Periodic,
        Codebooks,
        Keep,
        Prefix,
        Suffix,
        Beats,
        Onsets,
        Random,
        Drop,
        Paint,
        Erase,
        Nothing,
        Everything,
    )
}
"""Every part by its name in the text."""
_CLOCK = r"\d+:[0-5]\d(?::[0-5]\d)?(?:\.\d*)?"
_VALUE = rf"(?P<value>{_CLOCK}|[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?[a-z]*)"
_STROKE = r"(?P<stroke>(?:\d+(?:-\d+)?|all)@[^\s,()|&=]*)"
_TOKEN = re.compile(rf"\s*(?:{_STROKE}|{_VALUE}|(?P<name>[a-z][a-z0-9_-]*)|(?P<sign>[()|&,=]))", re.IGNORECASE)
_MOST_CHARACTERS, _MOST_DEPTH, _MOST_SHOWN = 100_000, 100, 400


@dataclasses.dataclass(frozen=True)
class _Token:
    kind: str
    """"stroke", "value", "name", "sign" or "end"."""
    text: str
    column: int


def parse_prompt(text: str) -> Prompt:
    """Parse a text of the prompt language.

    Raises PromptError that shows the text with a caret under the place, and the nearest known name.
    """
    return _Parser(text).parse()


def as_prompt(prompt: Prompt | str) -> Prompt:
    """A prompt from a prompt, its text, or a preset's name. Raises PromptError."""
    if isinstance(prompt, Prompt):
        return prompt
    if not isinstance(prompt, str):
        raise PromptError(f"prompt is {prompt!r}, but must be a text such as 'periodic(7)', or a vampnet.Prompt")
    return parse_prompt(prompt)


class _Parser:
    def __init__(self, text: str) -> None:
        if len(text) > _MOST_CHARACTERS:
            raise PromptError(f"the prompt has {len(text)} characters, but at most {_MOST_CHARACTERS} are allowed")
        self.text, self.position, self.depth = text, 0, 0
        self.tokens = self._tokenize()

    def parse(self) -> Prompt:
        if self._now.kind == "end":
            self._fail(self._now, "the prompt is empty; write for instance periodic(7)")
        prompt = self._expression()
        if self._now.kind != "end":
            self._fail(self._now, f"expected | or & before {self._now.text!r}")
        return prompt

    def _tokenize(self) -> list[_Token]:
        tokens, place = [], 0
        stripped = len(self.text.rstrip())
        while place < stripped:
            found = _TOKEN.match(self.text, place)
            if found is None or found.lastgroup is None:
                column = place + len(self.text[place:]) - len(self.text[place:].lstrip())
                self._fail(_Token("sign", self.text[column], column), f"cannot read {self.text[column]!r}")
            tokens.append(_Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)))
            place = found.end()
        return [*tokens, _Token("end", "", stripped)]

    @property
    def _now(self) -> _Token:
        return self.tokens[self.position]

    def _take(self, sign: str) -> bool:
        if self._now.kind == "sign" and self._now.text == sign:
            self.position += 1
            return True
        return False

    def _expression(self) -> Prompt:
        prompt = self._term()
        while self._take("|"):
            prompt = prompt | self._term()
        return prompt

    def _term(self) -> Prompt:
        prompt = self._factor()
        while self._take("&"):
            prompt = prompt & self._factor()
        return prompt

    def _factor(self) -> Prompt:
        token = self._now
        if self._take("("):
            self.depth += 1
            if self.depth > _MOST_DEPTH:
                self._fail(token, f"more than {_MOST_DEPTH} brackets inside each other")
            prompt = self._expression()
            if not self._take(")"):
                self._fail(self._now, "a bracket is not closed")
            self.depth -= 1
            return prompt
        if token.kind != "name":
            self._fail(token, "expected a part such as periodic(7)")
        self.position += 1
        return self._part(token)

    def _part(self, token: _Token) -> Prompt:
        name = token.text.lower()
        if name in PARTS:
            kind = PARTS[name]
            if issubclass(kind, (Paint, Erase)):
                return self._painted(kind, token)
            positional, named = self._arguments(kind, token)
            return self._built(token, lambda: kind(*positional, **named))
        preset = next((p for p in PRESETS if p.name == name), None)
        if preset is None:
            self._fail(token, f"unknown part {token.text!r}{_nearest(name, [*PARTS, *(p.name for p in PRESETS)])}")
        return parse_prompt(preset.prompt)

    def _painted(self, kind: type[Paint] | type[Erase], part: _Token) -> Prompt:
        """A part whose arguments are strokes."""
        strokes = []
        if self._take("("):
            while not self._take(")"):
                if strokes and not self._take(","):
                    self._fail(self._now, "expected , or )")
                token = self._now
                if token.kind != "stroke":
                    self._fail(token, f"expected a stroke CODEBOOKS@START:END for {part.text}, such as 1-2@0.5:1.5")
                self.position += 1
                strokes.append(self._built(token, lambda text=token.text: parse_stroke(text)))
        return self._built(part, lambda: kind(*strokes))

    def _arguments(self, kind: type[Prompt], part: _Token) -> tuple[list[Any], dict[str, Any]]:
        fields = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
        required = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]  # type: ignore[arg-type]
        positional: list[Any] = []
        named: dict[str, Any] = {}
        if self._take("("):
            while not self._take(")"):
                if (positional or named) and not self._take(","):
                    self._fail(self._now, "expected , or )")
                self._argument(fields, positional, named, part)
        missing = [name for name in required[len(positional) :] if name not in named]
        if missing:
            self._fail(part, f"{part.text} needs {' and '.join(missing)}: {part.text}({', '.join(fields)})")
        return positional, named

    def _argument(self, fields: list[str], positional: list[Any], named: dict[str, Any], part: _Token) -> None:
        token = self._now
        following = self.tokens[self.position + 1] if token.kind == "name" else token
        if token.kind == "name" and following.kind == "sign" and following.text == "=":
            self.position += 2
            if token.text not in fields:
                self._fail(token, f"{part.text} has no {token.text!r}{_nearest(token.text, fields)}")
            if token.text in named or token.text in fields[: len(positional)]:
                self._fail(token, f"{token.text} is given twice")
            named[token.text] = self._value(part)
            return
        if named:
            comma = re.search(r"\d,\d", self.text[part.column : token.column + len(token.text)])
            hint = "; decimals have a point: 1.5" if comma else ""
            self._fail(token, f"a value without a name cannot follow one with a name{hint}")
        if len(positional) >= len(fields):
            takes = f"takes at most {len(fields)}" if fields else "takes no"
            comma = re.search(r"\d,\d", self.text[part.column : token.column + len(token.text)])
            hint = "; decimals have a point: 1.5" if comma else ""
            self._fail(token, f"{part.text} {takes} values{hint}")
        positional.append(self._value(part))

    def _value(self, part: _Token) -> Any:
        token = self._now
        if token.kind not in ("value", "name"):
            self._fail(token, f"expected a value for {part.text}")
        self.position += 1
        if token.kind == "name":
            return float("inf") if token.text.lower() == "inf" else token.text.lower()
        try:
            return int(token.text)
        except ValueError:
            pass
        try:
            return float(token.text)
        except ValueError:
            return token.text  # with a unit: the part reads it

    def _built(self, token: _Token, make: Callable[[], T]) -> T:
        try:
            return make()
        except PromptError as error:
            self._fail(token, str(error))

    def _fail(self, token: _Token, message: str) -> NoReturn:
        line, column = self.text.replace("\n", " ").replace("\t", " "), token.column
        if len(line) > _MOST_SHOWN:  # painted prompts can be long: show what lies around the place
            first = max(min(column - _MOST_SHOWN // 2, len(line) - _MOST_SHOWN), 0)
            line, column = line[first : first + _MOST_SHOWN], column - first
        raise PromptError(f"prompt: {message}\n  {line}\n  {' ' * column}^")


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(known))}"
