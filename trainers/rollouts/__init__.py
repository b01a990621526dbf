"""How methods come by games: groups of games grown from training questions."""
