"""Where a receiver's password, token or address with a token stands: a file or a variable, read each time it is used.

So it is in no state of ours and in no log, and a new one counts at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import DeliveryError


def secret_of(options: Mapping[str, Any]) -> str | None:
    """Return the secret that a receiver's options name; None where they name none.

    Raises:
        DeliveryError: it isn't there.
    """
    if name := options.get("secret_env"):
        value = os.environ.get(name, "")
        if not value:
            raise DeliveryError(f"the variable {name} is not set where alerts are evaluated")
        return value
    if path := options.get("secret_file"):
        try:
            return Path(path).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DeliveryError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from None
    return None
