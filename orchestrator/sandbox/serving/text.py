"""Token counts."""


def count_tokens(text: str) -> int:
    """Estimate the tokens of a text: four characters each, at least one a word."""
    return max(len(text.split()), (len(text) + 3) // 4)
