"""The command line as cobra and pflag read it: `--flag=value`, `--flag value`, `-fvalue`; booleans bare or with `=`."""

from __future__ import annotations

import sys

from tests.everestctl.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from tests.everestctl.context import Context

    Values = dict[str, Any]
else:
    Values = dict

DEPRECATED = "Flag --operator.xtradb-cluster has been deprecated, please use --operator.mysql instead\n"

_GLOBAL_FLAGS = {"json": False, "verbose": False, "kubeconfig": ""}
_GLOBAL_SHORT = {"v": "verbose", "k": "kubeconfig"}


class Flags(Values):
    """`names_operators`: any operator flag was given; `given_last`: the last one, which wins over its synonym."""

    names_operators = False
    given_last = ""


class Command:
    """`function` by its module and its name; `arguments` is how many there must be, None where any are ignored."""

    def __init__(
        self,
        function: str,
        arguments: int | None = 0,
        flags: dict[str, Any] | None = None,
        short: dict[str, str] | None = None,
        usage: str = "",
    ) -> None:
        self.arguments = arguments
        self.flags = flags or {}
        self.short = short or {}
        self.usage = usage
        self._module, _, self._name = function.rpartition(".")

    def run(self, context: Context, flags: Flags, *arguments: str) -> int | None:
        """Imports no other command."""
        module = __import__(f"tests.everestctl.{self._module}", fromlist=[self._name])
        act: Callable[..., int | None] = getattr(module, self._name)
        return act(context, flags, *arguments)


def parse(path: tuple[str, ...], command: Command, arguments: list[str]) -> tuple[Flags, list[str]]:
    """The flags and the other arguments. Raises Usage."""
    flags = Flags({**_GLOBAL_FLAGS, **command.flags})
    words = list(_read(flags, {**_GLOBAL_SHORT, **command.short}, command.usage, arguments))
    positional = words[len(path) :]
    if command.arguments == 0 and positional and path != ("version",):
        raise Usage(f'unknown command "{positional[0]}" for "everestctl {" ".join(path)}"', command.usage)
    if command.arguments and len(positional) != command.arguments:
        raise Usage(f"accepts {command.arguments} arg(s), received {len(positional)}", command.usage)
    return flags, positional[: command.arguments or 0]


def leading_words(arguments: list[str]) -> list[str]:
    """All words that are no flags, as far as can be told before the command is known."""
    found, rest = [], iter(arguments)
    for word in rest:
        if not word.startswith("-"):
            found.append(word)
        elif word in ("-k", "--kubeconfig"):
            next(rest, None)
    return found


def _read(flags: Flags, short: dict[str, str], usage: str, arguments: list[str]) -> Iterator[str]:
    """Fills the flags and gives the other words."""
    rest = iter(arguments)
    for word in rest:
        if not word.startswith("-") or word == "-":
            yield word
            continue
        if word == "--":
            yield from rest
            return
        name, value = _split(word, short, usage)
        if name not in flags:
            raise Usage(f"unknown flag: --{name}", usage)
        if isinstance(flags[name], bool):
            flags[name] = True if value is None else value.lower() in ("true", "1", "t")
        else:
            given = next(rest, None) if value is None else value
            if given is None:
                raise Usage(f"flag needs an argument: --{name}", usage)
            flags[name] = given
        _note_operator(flags, name)


def _split(word: str, short: dict[str, str], usage: str) -> tuple[str, str | None]:
    """Name and value of a flag."""
    if word.startswith("--"):
        name, separator, value = word[2:].partition("=")
        return name, value if separator else None
    if word[1] not in short:
        raise Usage(f"unknown shorthand flag: '{word[1]}' in {word}", usage)
    return short[word[1]], word[2:].removeprefix("=") if len(word) > 2 else None


def _note_operator(flags: Flags, name: str) -> None:
    if not name.startswith("operator."):
        return
    flags.names_operators = True
    if name in ("operator.mysql", "operator.xtradb-cluster"):
        flags.given_last = name
    if name == "operator.xtradb-cluster":
        sys.stderr.write(DEPRECATED)
