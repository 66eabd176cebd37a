"""Of what names, passwords and terms are made: to import `re` takes longer than most commands."""

LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")
DIGITS = frozenset("0123456789")
ALPHANUMERIC = LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ") | DIGITS
