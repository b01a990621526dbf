"""Data out and in: what a run played, for other people's trainers, and scored anew."""
