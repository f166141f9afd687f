"""Files that commands write: complete, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Have what the system refuses inside the block name the file: writing, unlike opening, names none."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(file)) from None


@contextmanager
def written_whole(file: Path) -> Iterator[IO[bytes]]:
    """Yield a stream into a file that has its name only when the block has ended; what stood there stays until then.

    What is no regular file, such as a pipe or /dev/null, is written at once, and never replaced; a link stays one.
    """
    if file.exists() and not file.is_file():
        with naming(file), file.open("wb") as stream:
            yield stream
        return
    place = file.resolve()
    part = place.with_name(f"{place.name}.part")
    try:
        with naming(file), part.open("wb") as stream:
            yield stream
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
