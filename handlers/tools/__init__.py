"""The command lines behind typed verbs, and what their failures mean."""
