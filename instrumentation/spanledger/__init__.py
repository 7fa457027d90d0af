"""spanledger: what every LLM call costs, who caused it, and what to do about it."""
