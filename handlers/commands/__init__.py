"""Running commands: one guard, limits of time and output, nothing left behind."""
