"""Documents in Markdown, split into passages at their headings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

DOCS: Final = "docs"
_HEADING: Final = re.compile(r"(#{1,4}) +(.+?) *#*")
_LARGEST: Final = 1600
"""Characters of a passage; longer ones are split at a blank line."""


@frozen
class Passage:
    """A part of a document under one heading."""

    collection_id: str
    tenant_id: str | None
    """Owner; None: all tenants may read it."""
    title: str
    path: str
    heading: str
    content: str


def load_passages(docs: Path, documents: Path) -> list[Passage]:
    """Read the documentation, and the tenants' own documents.

    Args:
        docs: becomes the collection `docs`, that every tenant may search.
        documents: holds `{tenant}/{collection}/*.md`, that the tenant alone may search.
    """
    passages = [
        passage
        for path in sorted(docs.rglob("*.md"))
        for passage in split(path.read_text(), DOCS, None, str(path.relative_to(docs.parent)))
    ]
    for path in sorted(documents.glob("*/*/*.md")):
        tenant_id, collection_id = path.relative_to(documents).parts[:2]
        passages += split(path.read_text(), collection_id, tenant_id, str(path.relative_to(documents)))
    return passages


def split(text: str, collection_id: str, tenant_id: str | None, path: str) -> Iterator[Passage]:
    """Split a document at its headings; a `#` within a code block is none."""
    title = heading = Path(path).stem.replace("-", " ").capitalize()
    lines: list[str] = []
    fenced = False

    def passages() -> Iterator[Passage]:
        for content in _parts("\n".join(lines).strip()):
            yield Passage(collection_id, tenant_id, title, path, heading, content)

    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        found = None if fenced else _HEADING.fullmatch(line)
        if found is None:
            lines.append(line)
            continue
        yield from passages()
        lines.clear()
        heading = found[2]
        if found[1] == "#":
            title = heading
    yield from passages()


def _parts(content: str) -> Iterator[str]:
    part = ""
    for block in blocks(content):
        if part and len(part) + len(block) > _LARGEST:
            yield part
            part = ""
        part = f"{part}\n\n{block}" if part else block
    if part:
        yield part


def blocks(content: str) -> Iterator[str]:
    """Split at blank lines, outside of code blocks."""
    block: list[str] = []
    fenced = False
    for line in content.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        if line.strip() or fenced:
            block.append(line)
        elif block:
            yield "\n".join(block)
            block = []
    if block:
        yield "\n".join(block)
