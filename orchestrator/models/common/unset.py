"""What a field of a change holds where it is left out, and null says something already."""

from enum import Enum
from functools import reduce
from operator import or_
from typing import Any, Final, get_args


class Unset(Enum):
    """A field that is left out: what it would change stays as it is. Nothing that is sent reads as this."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


def without_unset(kind: Any) -> Any:
    """Return a type without `Unset`: what a field may hold that is not left out."""
    options = get_args(kind)
    return reduce(or_, (option for option in options if option is not Unset)) if Unset in options else kind
