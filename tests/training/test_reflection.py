"""The aha monitor on completions counted by hand, and the schedule of rollouts."""

from rl.config.recipe import RolloutSection, ScheduleEntry
from rl.training.reflection import reflection_metrics
from tests.training.test_curriculum import row


def said(text: str, solved: bool | None) -> object:
    from dataclasses import replace

    return replace(row("p", solved), completion=text)


def test_words_counted_by_hand() -> None:
    rows = [
        said("Wait, that is wrong. Let me check.", True),  # wait, wrong; check
        said("The waiter checked in.", False),  # none: whole words only
        said("So I verify it: 4.", False),  # verify
        said("4", None),
    ]
    metrics = reflection_metrics(rows)  # type: ignore[arg-type]
    assert metrics == {
        "aha/reflection": 1 / 4,
        "aha/verification": 2 / 4,
        "aha/words": (3 + 0 + 1 + 0) / 4,
        "aha/pass_rate_with": 1 / 2,
        "aha/pass_rate_without": 0.0,
    }


def test_a_pass_rate_of_nothing_is_left_out() -> None:
    assert "aha/pass_rate_with" not in reflection_metrics([said("4", True)])  # type: ignore[list-item]


def test_a_schedule_changes_what_it_names_from_its_step_on() -> None:
    entries = [ScheduleEntry(from_step=9, max_completion_length=64), ScheduleEntry(from_step=4, temperature=0.7)]
    section = RolloutSection(temperature=1.0, max_completion_length=32, schedule=entries)
    seen = [(section.at(step).temperature, section.at(step).max_completion_length) for step in (1, 3, 4, 8, 9, 50)]
    assert seen == [(1.0, 32), (1.0, 32), (0.7, 32), (0.7, 32), (0.7, 64), (0.7, 64)]
    assert section.longest_completion == 64
    assert RolloutSection(max_completion_length=32).longest_completion == 32
