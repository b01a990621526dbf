"""The game `interview`: a user who holds facts about a case, and an assistant who asks for them as long as it pays."""
