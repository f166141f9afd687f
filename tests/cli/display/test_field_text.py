"""What is nested in a record, for people."""

import pytest

from cli.display.field_text import field_text, is_empty


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain\ntext", "plain\ntext"),
        ({"high": 0, "low": 2, "normal": None}, "high 0, low 2"),
        (["a", "b"], "a, b"),
        ({"used": {"a": 1, "b": None}, "left": {"a": 2}, "none": {"c": {}}}, "used: a 1\nleft: a 2"),
        ({"details": [{"path": "x", "message": "odd"}]}, "details:\n  - path x, message odd"),
        ({"content": "two\nlines", "number": "5", "none": ""}, 'content "two\\nlines", number "5", none ""'),
        ({"content": "x" * 60, "to": ["a"]}, f"content: {'x' * 60}\nto: a"),
        ([[1, 2], {"a": [3]}], "- 1, 2\n- a: 3"),
        (True, "true"),
    ],
)
def test_a_value_is_laid_out_in_few_lines(value: object, shown: str) -> None:
    assert field_text(value) == shown


def test_what_has_no_value_in_it_is_empty() -> None:
    assert all(map(is_empty, [None, {}, [], {"a": None, "b": [{}]}]))
    assert not any(map(is_empty, [0, "", False, {"a": 0}]))
