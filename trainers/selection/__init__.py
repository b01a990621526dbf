"""Which games and messages are learned from."""
