"""The clarification game: rules, grammar, prompts, users, plans, the oracle and the scripted players."""
