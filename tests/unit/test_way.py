"""Where a reader is led by what was typed."""

from __future__ import annotations

import pytest

from spanledger_dashboard.components.way import meant

HOURS = {"9": "09:00-10:00  ·  $1.20  ·  4 %", "14": "14:00-15:00  ·  $20.00  ·  96 %"}
USERS = {"": "(no user)  ·  $3.00", "el": "el  ·  $2.00", "Eli": "Eli  ·  $1.00"}


@pytest.mark.parametrize(
    ("places", "told", "place"),
    [
        (HOURS, "14", "14"),
        (HOURS, "14:00", "14"),
        (HOURS, "15:00", "14"),
        ({"13": "13:00-14:00"} | HOURS, "14:00", "14"),
        (HOURS, " 09:00-10:00 · ", "9"),
        (HOURS, "noon", None),
        (HOURS, "", None),
        (USERS, "", ""),
        (USERS, "el", "el"),
        (USERS, "eli", "Eli"),
        (USERS, "no user", ""),
    ],
)
def test_a_place_is_called_by_its_id_or_by_a_part_of_its_words(places: dict[str, str], told: str, place: str) -> None:
    assert meant(places, told) == place
