"""What a row gives: figures with their goals, each the median of ratios that were measured in turn."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median

ROUNDS = 5

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure keeps: `at_least` or `at_most`, in `unit` ("" for a ratio). None: it is only printed."""

    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""

    def is_met(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"≥ {show(self.at_least, self.unit)}"
        return "printed" if self.at_most is None else f"≤ {show(self.at_most, self.unit)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `samples` has a value for each round; `note` tells the two sides."""

    title: str
    goal: Goal
    samples: Sequence[float]
    note: str = ""

    @property
    def value(self) -> float:
        return median(self.samples)

    @property
    def is_met(self) -> bool:
        return self.goal.is_met(self.value)

    @property
    def verdict(self) -> str:
        if self.goal == Goal(unit=self.goal.unit):
            return "-"
        return "met" if self.is_met else "MISSED"

    @property
    def spread(self) -> str:
        if len(self.samples) == 1:
            return "-"
        return f"{show(min(self.samples), self.goal.unit)} to {show(max(self.samples), self.goal.unit)}"


def show(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if (value == int(value) and value >= 10) or abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line of the table for what could not be measured here, and why."""

    title: str
    reason: str


class PassedOver(Exception):
    """What a row is held against cannot be had here, and why."""


async def take_turns(*sides: Measure, rounds: int = ROUNDS) -> list[list[float]]:
    """All of them, once a round, and who comes first changes: what drifts meanwhile hits all."""
    values: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        for place in range(len(sides)):
            side = (number + place) % len(sides)
            values[side].append(await sides[side]())
    return values


def make_ratio(title: str, goal: Goal, ours: Sequence[float], theirs: Sequence[float], *, unit: str) -> Figure:
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    note = f"{show(median(ours), unit)} against {show(median(theirs), unit)}"
    return Figure(title, goal, ratios, note)
