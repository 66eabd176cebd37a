"""A tenant taken away: its rights first, then its namespaces, then its account; never what nobody has confirmed."""
