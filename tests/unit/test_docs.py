"""What the documentation shows is there: links resolve, command lines parse, targets of make exist."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

from agent.cli import _parser
from agent.config_schema import KEYS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
FENCE = re.compile(r"^([ ]*)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|[\s;&|(/])(crosstalk (?:[^\n]*\\\n)*[^\n]*)")
SHELLS = {"sh", "bash", "shell", "console", ""}
MAKE = re.compile(r"^\s*make((?:\s+[\w=./'\"-]+)*)")


@dataclass(frozen=True)
class Shown:
    """A line of a page."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def at(page: Path, text: str, position: int, found: str) -> Shown:
    return Shown(page.relative_to(ROOT).as_posix(), text.count("\n", 0, position) + 1, found)


def prose(text: str) -> str:
    """The page without its fenced blocks; positions stay."""
    return FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)


def blocks() -> Iterator[tuple[Path, str, int, str]]:
    """``(page, its text, where the block's body begins, body)`` of each block of shell."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            if block[2] in SHELLS:
                yield page, text, block.start(3), block[3]


def inline() -> Iterator[Shown]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for code in INLINE.finditer(prose(text)):
            yield at(page, text, code.start(), code[1].strip())


def headings(page: Path) -> set[str]:
    """Anchors as GitHub makes them."""
    found: dict[str, int] = {}
    anchors = set()
    for line in re.findall(r"^#+ +(.+?) *#*$", prose(page.read_text(encoding="utf-8")), re.MULTILINE):
        bare = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line).replace("`", "").replace("*", "")
        slug = re.sub(r"[^\w\- ]", "", bare.lower()).replace(" ", "-")
        count = found[slug] = found.get(slug, -1) + 1
        anchors.add(f"{slug}-{count}" if count else slug)
    return anchors


def broken(page: Path, target: str) -> str | None:
    """Why a link leads nowhere."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return None
    path, _, anchor = unquote(target).partition("#")
    there = (page.parent / path).resolve() if path else page
    if not there.exists() or not there.is_relative_to(ROOT):
        return "there is no such file"
    if anchor and there.suffix == ".md" and anchor not in headings(there):
        return f"there is no heading #{anchor}"
    return None


def test_every_relative_link_leads_somewhere() -> None:
    wrong = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        wrong += [
            f"{at(page, text, link.start(), link[1])}: {why}"
            for link in LINK.finditer(prose(text))
            if (why := broken(page, link[1])) is not None
        ]
    assert not wrong, "\n".join(wrong)


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = ROOT / "docs" / "howto" / "operate.md"
    assert broken(page, "rest.md") is None
    assert broken(page, "../explanation/design.md#layers") is None
    assert broken(page, "https://example.org/none.md") is None
    assert broken(page, "none.md") == "there is no such file"
    assert broken(page, "rest.md#none-at-all") == "there is no heading #none-at-all"
    assert broken(page, "../../../passwd") == "there is no such file"


# --- crosstalk -----------------------------------------------------------------------------------------------------


def command_lines() -> list[Shown]:
    """Whole command lines of the blocks, without what the shell does with them."""
    return [
        at(page, text, start + line.start(1), line[1].replace("\\\n", " "))
        for page, text, start, body in blocks()
        for line in COMMAND.finditer(body)
    ]


def words_of(line: str) -> list[str]:
    """Arguments of the first command of a line, without redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word and set(word) <= set("|&;<>"):
            break
        words.append(word)
    return words[1:]


class Refused(Exception):
    pass


def parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Raises ``Refused`` with what the real parser has to say."""

    def refuse(self: argparse.ArgumentParser, message: str) -> None:
        raise Refused(message)

    monkeypatch.setattr(argparse.ArgumentParser, "error", refuse)
    try:
        _parser().parse_args(words)
    except SystemExit:  # --help, --version
        return


def test_every_command_line_that_is_shown_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = command_lines()
    assert len(lines) > 10
    wrong = []
    for line in lines:
        try:
            parse(words_of(line.text), monkeypatch)
        except (Refused, ValueError) as refused:
            wrong.append(f"{line}: {refused}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("words", [["serv"], ["serve", "--ports"], ["call"], ["load", "--calls", "many"]])
def test_a_command_line_that_cannot_be_typed_is_found(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused):
        parse(words, monkeypatch)


def test_every_setting_that_is_shown_is_a_key() -> None:
    shown = [line for line in [*command_lines(), *inline()] if "--set " in line.text]
    wrong = [
        f"{line}: no key {key}"
        for line in shown
        for key in re.findall(r"--set '?([a-z_.]+)=", line.text)
        if key not in KEYS and key != "key"
    ]
    assert not wrong, "\n".join(wrong)


def parsers(parser: argparse.ArgumentParser, words: list[str]) -> argparse.ArgumentParser:
    """The parser of the command that the words begin with. Raises ``Refused`` for a command that is not there."""
    while words and not words[0].startswith("-"):
        choices = next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        if choices is None:
            return parser
        if words[0] not in choices:
            raise Refused(f"no command {words[0]!r}; there are {', '.join(choices)}")
        parser, words = choices[words[0]], words[1:]
    return parser


def test_every_command_and_flag_that_is_named_in_passing_exists() -> None:
    wrong = []
    for code in inline():
        if not code.text.startswith("crosstalk "):
            continue
        words = code.text.split()[1:]
        try:
            parser = parsers(_parser(), [word for word in words if word != "…"])
        except Refused as refused:
            wrong.append(f"{code}: {refused}")
            continue
        flags = {flag.partition("=")[0] for flag in words if flag.startswith("--")}
        if unknown := flags - set(parser._option_string_actions):
            wrong.append(f"{code}: no {', '.join(sorted(unknown))}")
    assert not wrong, "\n".join(wrong)


# --- make ----------------------------------------------------------------------------------------------------------


def test_every_target_of_make_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    shown = [code for code in inline() if code.text.split()[0] == "make"]
    for page, text, start, body in blocks():
        lines = re.finditer(r"^[^\n]*$", body, re.MULTILINE)
        shown += [at(page, text, start + line.start(), line[0]) for line in lines]
    wrong, count = [], 0
    for line in shown:
        if (found := MAKE.match(line.text)) is not None:
            named = [word for word in found[1].split() if "=" not in word and not word.startswith("-")]
            count += len(named)
            wrong += [f"{line}: no target {name}" for name in named if name not in targets]
    assert count > 5
    assert not wrong, "\n".join(wrong)
