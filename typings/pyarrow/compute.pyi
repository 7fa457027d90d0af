# pyarrow carries no types and makes much of itself when it is imported: to pyright all of it is unknown.
from typing import Any

def __getattr__(name: str) -> Any: ...
