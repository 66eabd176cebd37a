"""What an operator runs: `python -m gateway <command>`."""
