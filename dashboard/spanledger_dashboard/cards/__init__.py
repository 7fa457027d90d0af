"""Cards: each asks one question and draws its answer."""
