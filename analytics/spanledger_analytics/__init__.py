"""Analytics: questions to the lake, answered by DuckDB."""
