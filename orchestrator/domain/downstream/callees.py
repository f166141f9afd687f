"""Whose code a call runs behind a service, and state that is kept for each of them within a bound."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

Callee = tuple[str, str]
"""A tenant, and the agent, tool or workflow of it, such as `("acme", "agent:echo")`.

The name is empty where a service does work of its own for the tenant.
"""
CALLEES: Final = 4096
"""Callees of one service that are remembered."""


class ByCallee(Generic[T]):
    """State by callee; beyond the bound, that of the callee that was called longest ago is dropped.

    Args:
        make: makes the state of a callee that is not remembered.
        bound: callees that are remembered.
    """

    def __init__(self, make: Callable[[], T], bound: int = CALLEES) -> None:
        self._make = make
        self._bound = bound
        self._kept: OrderedDict[Callee, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, callee: Callee) -> T:
        """Return the state of a callee."""
        kept = self._kept.get(callee)
        if kept is None:
            kept = self._kept[callee] = self._make()
            if len(self._kept) > self._bound:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(callee)
        return kept
