"""Distances between texts."""


def edit_distance(a: str, b: str) -> int:
    """The least number of characters to insert, to delete or to replace (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row = row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1]


def character_error_rate(truth: str, read: str) -> float:
    """Edits a character of the truth, which is not empty; above 1 where much was added."""
    return edit_distance(truth, read) / len(truth)


def one_minus_ned(truth: str, read: str) -> float:
    """1 - edits / length of the longer text: 1 for equal texts, 0 for texts with nothing in common;
    1 - NED of the ICDAR 2019 competitions."""
    longer = max(len(truth), len(read))
    return 1 - edit_distance(truth, read) / longer if longer else 1.0
