"""Alerts: rules that people write are held against the ledger again and again, and what fires is told to receivers.

`rules_file` reads the rules, `lookout` looks at the ledger, `kinds` say what is out of bounds, `states` what that makes
of an alert, `grouping` when it is told, `store` keeps all of it, `receivers` and `delivery` tell it.
"""
