"""Cards of the overview: each asks one question and draws its answer."""
