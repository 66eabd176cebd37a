"""A tenant handed over: another caller manages it from now on."""
