"""Kubernetes quantities: what is one, and how the API writes it back."""

import re
from collections.abc import Mapping
from fractions import Fraction

PATTERN = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1)}
_DECIMAL |= {
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
}


def read(text: str) -> Fraction:
    """Raises ValueError for what is no quantity."""
    match = re.fullmatch(r"([+-]?[0-9]*\.?[0-9]+|[+-]?[0-9]+\.)([A-Za-z]*)", text)
    if match is None:
        raise ValueError(text)
    number, suffix = match.groups()
    factor = _BINARY.get(suffix) or _DECIMAL.get(suffix)
    if factor is None:
        raise ValueError(text)
    return Fraction(number) * factor


def canonical(text: str) -> str:
    """The shortest form of the same kind, as the API stores it: 2048Mi is 2Gi, 0.5 is 500m."""
    value = read(text)
    suffixes: Mapping[str, int | Fraction] = _BINARY if text[-1] == "i" else _DECIMAL
    for suffix, factor in sorted(suffixes.items(), key=lambda item: -item[1]):
        if value and (value / factor).denominator == 1:
            return f"{value / factor}{suffix}"
    return text
