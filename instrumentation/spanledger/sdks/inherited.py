"""Methods that another instrumentation took from the SDK's base class, and put its own around, before we came.

Such a wrapper stands on a subclass and goes on to the SDK's plain method, past what is put on the base class: each call
would be lost. Ours goes inside it, where it would be had we come first, so that its spans say the same either way: in
place of the plain method, which wrapt's wrappers hold as an attribute and plain closures in a cell. Any other wrapper
gets ours around it. A subclass that goes on by `super()` needs neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CellType
from typing import Any, Final

from .wrapping import replace

_DEEPEST: Final = 20


def replace_everywhere(owner: Any, name: str, around: Callable[[Any], Any]) -> None:
    """Put `around` a method, also where a subclass holds a wrapper of the method as it was."""
    plain = getattr(owner, name)
    replace(owner, name, around)
    ours = getattr(owner, name)
    if ours is plain:
        return
    for kind in _subclasses(owner):
        wrapper = _last_wrapper(vars(kind).get(name), plain)
        if wrapper is None:
            continue
        if not _put_inside(wrapper, plain, ours):
            replace(kind, name, around)


def _put_inside(wrapper: Any, plain: object, ours: object) -> bool:
    if hasattr(wrapper, "_self_wrapper"):
        wrapper.__wrapped__ = ours
        return True
    cells = [cell for cell in getattr(wrapper, "__closure__", None) or () if _holds(cell, plain)]
    for cell in cells:
        cell.cell_contents = ours
    return bool(cells)


def _holds(cell: CellType, plain: object) -> bool:
    try:
        return cell.cell_contents is plain
    except ValueError:  # empty
        return False


def _subclasses(owner: Any) -> Iterator[Any]:
    for kind in owner.__subclasses__():
        yield kind
        yield from _subclasses(kind)


def _last_wrapper(method: Any, plain: object) -> Any:
    """Return what stands right around `plain`; None where the method does not end there."""
    for _ in range(_DEEPEST):
        inner = getattr(method, "__wrapped__", None)
        if inner is None or inner is plain:
            return method if inner is plain else None
        method = inner
    return None
