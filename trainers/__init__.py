"""How it learns: one command, one file."""
