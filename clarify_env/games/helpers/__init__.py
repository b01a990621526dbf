"""Helpers: an asker and two helpers who answer from memory, or search at a price (docs/games/helpers.md)."""
