"""Pandora's boxes: one of K boxes holds a prize; a look costs something; look on, or commit (docs/games/pandora.md)."""
