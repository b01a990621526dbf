"""Who plays: scripted players, language models, and the self-play engine."""
