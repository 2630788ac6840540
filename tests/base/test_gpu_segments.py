"""The allocator of GPU memory: what is asked of it, and when it is left alone."""

import pytest

from rl.base.allocator import let_segments_grow


@pytest.mark.parametrize(
    ("sleeps", "before", "after"),
    [
        (False, {}, "expandable_segments:True"),
        (True, {}, None),
        (False, {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:512"}, "max_split_size_mb:512"),
        (False, {"PYTORCH_ALLOC_CONF": "max_split_size_mb:512"}, None),
    ],
)
def test_segments_grow_unless_the_engine_sleeps_or_the_user_has_set_something(
    sleeps: bool, before: dict[str, str], after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = dict(before)
    monkeypatch.setattr("rl.base.allocator.os.environ", environment)
    let_segments_grow(sleeps=sleeps)
    assert environment.get("PYTORCH_CUDA_ALLOC_CONF") == after
