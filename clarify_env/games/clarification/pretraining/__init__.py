"""What a pocket model is pretrained on: games played without regard to the costs, facts, prices and sums."""
