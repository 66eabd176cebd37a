"""The rows of the table of figures, each measured beside what it is compared with."""
