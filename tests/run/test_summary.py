import json

import pytest

from rl.config.recipe import Band
from rl.run.folder import RunFolder
from rl.run.summary import (
    check_band,
    cost,
    never_solved,
    read_summary,
    reward_change,
    slower_than_expected,
    write_summary,
)


def result(rate: float, margin: float = 0.05) -> dict[str, object]:
    return {"pass@1": rate, "ci95": [rate - margin, rate + margin], "n": 200, "seconds": 9.0}


BAND = Band(min_gain=0.35, max_minutes=10)


def test_a_met_band_says_so_with_its_numbers() -> None:
    met, reason = check_band(result(0.275), result(0.66), BAND)
    assert met
    assert reason == (
        "Band met: pass@1 rose by 38.5 points (27.5 % to 66.0 %), at least 35.0 promised; the 95 % intervals are apart "
        "([22.5 %, 32.5 %] before and [61.0 %, 71.0 %] after)."
    )


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        (
            result(0.3),
            result(0.5),
            "pass@1 rose by 20.0 points (30.0 % to 50.0 %) where at least 35.0 were promised.",
        ),
        (result(0.3), result(0.1), "pass@1 fell by 20.0 points"),
        (
            result(0.3, 0.2),
            result(0.7, 0.2),
            "the 95 % intervals touch ([10.0 %, 50.0 %] before and [50.0 %, 90.0 %]",
        ),
    ],
)
def test_each_promise_can_be_missed(before: dict, after: dict, part: str) -> None:
    met, reason = check_band(before, after, BAND)
    assert not met
    assert reason.startswith("Band missed: ") and part in reason


def test_a_gain_of_exactly_what_was_promised_counts() -> None:
    for low in range(0, 130):  # 0.7 - 0.35 and the like must not fail by rounding
        met, _ = check_band(result(low / 200), result((low + 70) / 200), BAND)
        assert met, low


def test_only_what_is_promised_is_checked() -> None:
    lenient = Band(min_gain=-1, intervals_apart=False)
    assert check_band(result(0.5), result(0.5), lenient)[0]


def test_a_slow_machine_is_a_note_and_never_a_miss(folder: RunFolder) -> None:
    summary = write_summary(folder, result(0.35), result(0.86), BAND, minutes=12.14, dollars=0.0, tokens=1)
    assert summary["band_met"] is True and "minutes" not in summary["band_reason"]
    assert summary["slower"].startswith("Slower than expected: 12.1 minutes on ")
    assert "10 expected" in summary["slower"]
    assert slower_than_expected(10.0, 10) is None and slower_than_expected(1e6, None) is None


def test_the_summary_has_what_machines_read(folder: RunFolder) -> None:
    assert read_summary(folder) is None
    write_summary(folder, result(0.25), result(0.75), None, minutes=1.5, dollars=0.1, tokens=42)
    assert json.loads(folder.summary.read_text()) == {
        "before": {"pass@1": 0.25, "ci95": [0.2, 0.3], "n": 200, "reward": None, "reward_ci95": None},
        "after": {"pass@1": 0.75, "ci95": [0.7, 0.8], "n": 200, "reward": None, "reward_ci95": None},
        "same_problems": True,
        "band_met": None,
        "band_reason": "The recipe states no band.",
        "slower": None,
        "minutes": 1.5,
        "dollars": 0.1,
        "tokens": 42,
        "warnings": [],
    }
    assert write_summary(folder, result(0.2), result(0.3), BAND, 1.0, 0.1, 42)["band_met"] is False


def test_no_band_is_judged_on_other_questions(folder: RunFolder) -> None:
    before, after = result(0.25) | {"problems_sha256": "a"}, result(0.75) | {"problems_sha256": "b"}
    summary = write_summary(folder, before, after, Band(min_gain=0.3), minutes=1, dollars=0, tokens=1)
    assert (summary["same_problems"], summary["band_met"]) == (False, None)
    assert "not of the same questions" in summary["band_reason"]
    again = write_summary(folder, after, after, Band(min_gain=0.3), minutes=1, dollars=0, tokens=1)
    assert (again["same_problems"], again["band_met"]) == (True, False)
    before_hashes_were_kept = write_summary(folder, result(0.25), after, Band(min_gain=0.3), 1, 0, 1)
    assert before_hashes_were_kept["band_met"] is True


def rewarded(rate: float, reward: float | None, spread: list[float] | None = None) -> dict[str, object]:
    return result(rate) | {"reward": reward, "reward_ci95": spread}


def test_the_mean_reward_is_shown_where_it_says_more_than_the_pass_rate() -> None:
    before, after = rewarded(0.0, 0.05, [0.04, 0.0625]), rewarded(0.0, 0.2, [0.18, 0.22])
    assert reward_change(before, after) == "mean reward 0.050 [0.040, 0.062] before, 0.200 [0.180, 0.220] after, +0.150"
    assert reward_change(rewarded(0.25, 0.25), rewarded(0.5, 0.5)) is None  # a reward of 0 and 1 alone
    assert reward_change(result(0.1), after) is None  # an older run did not measure it
    assert reward_change(rewarded(0.0, None), after) is None  # nothing was graded
    assert reward_change(rewarded(0.0, 0.0), rewarded(0.0, -0.5)) == "mean reward 0.000 before, -0.500 after, -0.500"


def test_a_run_that_never_solved_anything_is_warned_of_with_the_highest_reward() -> None:
    metrics = [{"pass_rate": 0.0, "accuracy/max": 0.4}, {"pass_rate": 0.0, "accuracy/max": None}]
    nothing = result(0.0) | {"accuracy/max": 0.2}
    text = never_solved(0.999, "closeness", metrics, [nothing, nothing])
    assert text is not None and "rewards.correct_above = 0.999" in text
    assert "the highest reward of closeness was 0.4. Lower it" in text
    assert never_solved(0.999, "closeness", [*metrics, {"pass_rate": 0.01}], [nothing]) is None
    assert never_solved(0.999, "closeness", metrics, [nothing, result(0.005)]) is None
    assert never_solved(0.999, "closeness", [{"pass_rate": 0.0, "sampling/pass_rate": 0.1}], [nothing]) is None
    assert never_solved(0.999, "closeness", [], [nothing]) is None  # nothing was trained yet
    flat = never_solved(0.999, "math", [{"pass_rate": 0.0, "accuracy/max": 0.0}], [])
    assert flat is not None and "Check the reward" in flat and "Lower" not in flat
    mute = never_solved(0.999, "math", [{"pass_rate": 0.0, "accuracy/max": None}], [])
    assert mute is not None and "gave no reward at all" in mute


@pytest.mark.parametrize(
    ("dollars", "text"),
    [
        (0.0, "0 cents"),
        (0.000001, "under 0.001 cents"),
        (0.004, "0.4 cents"),
        (0.0132, "1.3 cents"),
        (0.01, "1 cent"),
        (0.0999, "10 cents"),
        (0.457, "46 cents"),
        (0.996, "$1.00"),
        (1.0, "$1.00"),
        (29.5, "$29.50"),
    ],
)
def test_prices_below_a_dollar_are_in_cents(dollars: float, text: str) -> None:
    assert cost(dollars) == text
