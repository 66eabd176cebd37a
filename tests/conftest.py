"""What holds for all tests: hypothesis never judges by the clock, because machines are as slow as they are."""

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
