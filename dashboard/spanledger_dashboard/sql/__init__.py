"""The SQL page, part by part: what is asked, how it is asked, and what is shown of the answer."""
