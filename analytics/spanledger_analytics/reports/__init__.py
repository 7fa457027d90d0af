"""Reports: questions that people ask of a ledger again and again, each with a name, options and documented columns.

A report is a pure function of the ledger and a `Question` (which days, by what, which calls); `registry` has them all.
"""
