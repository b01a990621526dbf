"""Selection of the games and messages to learn from."""
