"""The glossary names classes that exist, each once."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "glossary.md"
ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \| (?:`(\w+)`)? ?\|$", re.MULTILINE)
CLASS = re.compile(r"^class (\w+)", re.MULTILINE)


def _rows() -> list[tuple[str, str]]:
    return [(word, name) for word, name in ROW.findall(PAGE.read_text(encoding="utf-8")) if word not in {"word", "---"}]


def test_the_classes_of_the_glossary_exist() -> None:
    defined = {
        name
        for module in (ROOT / "orchestrator").rglob("*.py")
        for name in CLASS.findall(module.read_text(encoding="utf-8"))
    }
    assert [name for _, name in _rows() if name and name not in defined] == []


def test_every_word_stands_in_the_glossary_once() -> None:
    words = Counter(word for row, _ in _rows() for word in row.split(", "))
    assert len(words) > 50
    assert [word for word, times in words.items() if times > 1] == []
