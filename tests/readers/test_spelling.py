"""Texts that repeat are understood once, and each alike however many there are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.check import Wrong
from riskengine.readers import spelling
from riskengine.readers.spelling import WRONG, Spellings


def spans_of(texts: list[str | None]) -> tuple[str, np.ndarray]:
    """Return texts as a block, and where in it they stand."""
    spans, text = [], ""
    for one in texts:
        spans.append((-1, -1) if one is None else (len(text), len(one)))
        text += one or ""
    return text, np.array(spans, np.int64).reshape(-1, 2)


def meant(known: Spellings, texts: list[str | None]) -> list[list[int]]:
    text, spans = spans_of(texts)
    found: list[list[int]] = known.meanings(np.frombuffer(text.encode(), np.uint8), text, spans).tolist()
    return found


@given(st.lists(st.lists(st.none() | st.text("ab", max_size=7))), st.sampled_from((0, 2, 1 << 18)))
def test_each_text_means_what_it_means_however_many_are_remembered(batches: list[list[str | None]], most: int) -> None:
    asked: list[str] = []

    def meaning(text: str) -> tuple[int, int]:
        asked.append(text)
        return len(text), int("0" + text.replace("a", "1").replace("b", "2"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spelling, "_MOST", most)
        patch.setattr(spelling, "_LEAST", 1)
        known = Spellings(meaning, (-1, -2))
        for texts in batches:
            assert meant(known, texts) == [[-1, -2] if one is None else list(meaning(one)) for one in texts]


def test_a_text_is_asked_for_once_and_a_wrong_one_stays_wrong() -> None:
    asked: list[str] = []

    def meaning(text: str) -> tuple[int, int]:
        asked.append(text)
        if text == "bad":
            raise Wrong("must be good")
        return 1, 2

    known = Spellings(meaning)
    assert meant(known, ["good", "bad", "good", None]) == [[1, 2], [WRONG, 0], [1, 2], [WRONG, 0]]
    assert meant(known, ["bad", "good"]) == [[WRONG, 0], [1, 2]]
    assert asked == ["good", "bad"]
