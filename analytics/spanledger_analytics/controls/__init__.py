"""Controls as the lake sees them: what budgets have spent, accounts set right, policies tried on last week's calls."""
