"""The cells of a terminal that texts take, and texts in so many cells."""

from collections.abc import Iterator


def width_of(text: str) -> int:
    """Return how many cells a text of one line takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - its table of widths is only needed beyond ASCII

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """Return the beginning of a text that fits so many cells."""
    if width_of(text) <= width:
        return text
    end = min(len(text), width)
    while width_of(text[:end]) > width:
        end -= 1
    return text[:end]


def padded(text: str, width: int) -> str:
    """Return a text with the spaces that fill so many cells."""
    return text + " " * (width - width_of(text))


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text in so many cells: broken between words, and inside of those that are longer."""
    lines: list[str] = []
    for line in text.expandtabs().split("\n"):
        lines += _lines(line, max(1, width)) if width_of(line) > width else [line]
    return lines


def _lines(line: str, width: int) -> Iterator[str]:
    # The indentation belongs to the first word: lines of JSON keep theirs.
    indented = line.lstrip(" ")
    kept = line[: len(line) - len(indented)]
    for word in indented.split(" "):
        longer = f"{kept} {word}" if kept.strip() else kept + word
        if width_of(longer) <= width:
            kept = longer
            continue
        if kept.strip():
            yield kept
            kept = word
        else:
            kept = longer
        while width_of(kept) > width:
            part = cut(kept, width) or kept[:1]
            yield part
            kept = kept[len(part) :]
    if kept:
        yield kept
