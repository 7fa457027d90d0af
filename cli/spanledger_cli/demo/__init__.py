"""The demonstration: a local provider, sample agents, 30 days of history, and the command that runs them all."""
