"""Parts of pages: what is drawn more than once."""
