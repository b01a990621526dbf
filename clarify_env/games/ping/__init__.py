"""Two players with private information talk within a budget of words, spread over their turns (docs/games/ping.md)."""
