"""What a command prices by: the base and the contract that the settings name, as the collector does.

A base that can't be used is told on stderr, and the shipped one counts; a contract that can't be used ends the command.
"""

from __future__ import annotations

import click

from spanledger import base_file, contract_file
from spanledger.book import PriceBook, current_book
from spanledger.settings import Settings


def price_as_set(settings: Settings) -> None:
    """Put both in force, for the length of the process.

    Raises:
        ContractError: the contract can't be used.
    """
    book_as_set(settings)
    contract_file.use_named(settings)


def book_as_set(settings: Settings) -> PriceBook:
    """Put the base in force, and return the book."""
    try:
        base_file.use_named(settings)
    except base_file.BaseFileError as error:
        click.echo(f"spanledger: {error}; the shipped prices count", err=True)
    return current_book()
