"""Lets `python -m spanledger_cli` stand for the `spanledger` command."""

from . import main

if __name__ == "__main__":
    main()
