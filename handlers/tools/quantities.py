"""Kubernetes quantities, for comparing: the API writes `2048Mi` back as `2Gi`."""

import re
from fractions import Fraction

_UNITS: dict[str, Fraction | int] = {
    **{unit: 1024 ** (power + 1) for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))},
    **{unit: 1000 ** (power + 1) for power, unit in enumerate(("k", "M", "G", "T", "P", "E"))},
    **{unit: Fraction(1, 1000 ** (power + 1)) for power, unit in enumerate(("m", "u", "n"))},
    "": 1,
}
_QUANTITY = re.compile(r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?P<unit>[A-Za-z]{0,2})", re.ASCII)


def are_equal(one: object, other: object) -> bool:
    """Whether two quantities are the same amount; what cannot be read equals only itself."""
    amounts = (_read(str(one)), _read(str(other)))
    return str(one) == str(other) or (None not in amounts and amounts[0] == amounts[1])


def is_at_least(one: object, other: object) -> bool:
    """Whether the first is as much as the second; what cannot be read is not."""
    amount, least = _read(str(one)), _read(str(other))
    return amount is not None and least is not None and amount >= least


def _read(text: str) -> Fraction | None:
    match = _QUANTITY.fullmatch(text)
    if match is None or match["unit"] not in _UNITS:
        return None
    return Fraction(match["number"]) * _UNITS[match["unit"]]
