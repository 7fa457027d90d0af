"""Dashboard: from a dear day to the step that caused it."""
