"""What files of outputs say of how they were drawn."""

from typing import Any

import pytest

from rl.evaluation.stated import in_common, stated_sampling


@pytest.mark.parametrize(
    ("row", "stated"),
    [
        ({"output": "7"}, {}),
        (
            {"temperature": 0.6, "top_p": 0.95, "max_tokens": 32768},
            {"temperature": 0.6, "top_p": 0.95, "max_tokens": 32768},
        ),
        (
            {"sampling_params": {"temperature": 1.0, "top_k": -1, "max_new_tokens": 64}},
            {"temperature": 1.0, "top_k": 0, "max_tokens": 64},
        ),
        ({"generation_kwargs": {"do_sample": False, "temperature": 1.0}}, {"temperature": 0.0}),
        ({"arguments": {"gen_args_0": {"arg_0": "?", "arg_1": {"max_gen_toks": 256}}}}, {"max_tokens": 256}),
        ({"arguments": [["?", {"temperature": 0, "until": ["\n"]}]]}, {"temperature": 0}),
        ({"arguments": "none", "sampling_params": "greedy"}, {}),
        ({"temperature": "0.6", "top_p": True, "max_tokens": None, "min_p": float("nan")}, {}),
    ],
)
def test_a_row_says_it_in_its_own_way(row: dict[str, Any], stated: dict[str, float]) -> None:
    assert stated_sampling(row) == stated


def test_only_what_all_rows_say_is_stated() -> None:
    assert in_common([]) == {}
    rows = [{"temperature": 0.6, "top_p": 0.9}, {"temperature": 0.6, "top_p": 0.95}, {"temperature": 0.6}]
    assert in_common(rows) == {"temperature": 0.6}
