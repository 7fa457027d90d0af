"""Controls: budgets, limits and breakers that hold a call up before it is sent."""
