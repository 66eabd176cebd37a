"""Jobs as the gateway knows them: submitted, read, awaited, changed by a person, healed."""
