"""A tenant suspended and resumed: what is taken is written down first, and given back as it was."""
