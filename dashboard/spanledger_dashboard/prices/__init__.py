"""The Prices page, part by part: what is in force, looked up, missing, and put right."""
