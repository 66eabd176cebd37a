"""Many jobs at once while things are killed, frozen and cut off, and what must hold of them in the end."""
