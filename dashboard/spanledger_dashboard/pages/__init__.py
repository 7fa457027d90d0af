"""Pages: each asks, draws, and lays out."""
