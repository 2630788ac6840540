from pathlib import Path
from typing import Any

import pytest

from rewards import BadInput, Grade, Grader
from rewards.failures import RewardFailed

SETTINGS: dict[str, Any] = {"timeout": 5.0, "workers": 1, "accuracy": None, "correct_above": 0.999}

REWARDS = """
import numpy
def halves(completions): return [None if c == "?" else 0.5 for c in completions]
def tuned(completions, scale=1.0, **columns): return tuple(scale * len(c) for c in completions)
def seen(completions, prompts, level, **columns):
    assert prompts == ["p", "q"] and columns["answer"] == ["1", "2"]
    return level
def array(completions): return numpy.ones(len(completions), dtype=numpy.float32)
def short(completions): return [1.0]
def text(completions): return ["1"] * len(completions)
def nan(completions): return [float("nan")] * len(completions)
def number(completions): return 1.0
def vast(completions): return [10**400] * len(completions)
def far(completions): return [1e308] * len(completions)
def keyed(completions): return {row: 1.0 for row in range(len(completions))}
def unordered(completions): return {1.0, 0.0}
def half(completions, log_extra, log_metric):
    log_extra("\\ud800", ["x"] * len(completions))
    log_metric("\\ud800", 1)
    return [0.0] * len(completions)
def truth(completions): return [numpy.bool_(c == "1") for c in completions]
def told(completions, log_extra, log_metric):
    log_extra("told/length", [len(c) for c in completions])
    log_metric("told/rows", len(completions))
    log_metric("told/rows", 0)
    return [0.0] * len(completions)
def short_log(completions, log_extra): log_extra("told", [1])
def nan_metric(completions, log_metric): log_metric("told", float("nan"))
def known(completions, solved=None): return [{True: 1.0, False: -1.0, None: 0.0}[s] for s in solved]
def isolated(completions, sandbox="auto"): return [float(sandbox == "namespaces")] * len(completions)
class Made:
    def __init__(self, size): pass
    def __call__(self, completion): return 1.0
    def close(self): open("closed", "w").close()
def bug(completions): raise KeyError("mine")
"""


@pytest.fixture(params=[False, True], ids=["within", "isolated"], autouse=True)
def isolated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether users' rewards run in a process of their own: what they earn and what is said of them is the same."""
    monkeypatch.setitem(SETTINGS, "isolated", request.param)
    return bool(request.param)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "r.py").write_text(REWARDS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def grade(functions: dict[str, float], completions: list[str], **settings: Any) -> list[Grade]:
    columns: dict[str, list[Any]] = {"answer": ["1", "2"], "level": [3, 4]}
    with Grader(functions, **(SETTINGS | settings)) as grader:
        grader.check_columns(columns)
        return grader.grade(completions, ["p", "q"], columns)


def test_one_function_alone_under_other_options(folder: Path) -> None:
    functions = {"exact_number": 1.0, "r.py:tuned": 2.0}
    with Grader(functions, **SETTINGS, options={"r.py:tuned": {"scale": 3.0}}, gated=["r.py:tuned"]) as grader:
        alone = grader.alone("r.py:tuned", scale=5.0)
        assert [graded.parts for graded in alone.grade(["ab", "c"], ["p", "q"], {})] == [
            {"r.py:tuned": 10.0},
            {"r.py:tuned": 5.0},
        ]
        with pytest.raises(BadInput, match="has no option 'size'"):
            grader.alone("r.py:tuned", size=1)
        [first, _] = grader.grade(["1", "3"], ["p", "q"], {"answer": ["1", "2"]})  # unchanged
        assert (first.parts, first.reward) == ({"exact_number": 1.0, "r.py:tuned": 3.0}, 7.0)


def test_a_reward_is_the_weighted_sum_of_its_parts(folder: Path) -> None:
    graded = grade({"exact_number": 2.0, "r.py:halves": -1.0, "r.py:array": 0.25}, ["1", "3"])
    assert graded == [
        Grade(1.75, {"exact_number": 1.0, "r.py:halves": 0.5, "r.py:array": 1.0}, True, {"exact_number/answer": "1"}),
        Grade(-0.25, {"exact_number": 0.0, "r.py:halves": 0.5, "r.py:array": 1.0}, False, {"exact_number/answer": "3"}),
    ]


def test_none_is_contagious_unless_its_weight_is_zero(folder: Path) -> None:
    counted, ignored = ({"exact_number": 1.0, "r.py:halves": weight} for weight in (1.0, 0.0))
    assert [graded.reward for graded in grade(counted, ["1", "?"])] == [1.5, None]
    assert [graded.reward for graded in grade(ignored, ["1", "?"])] == [1.0, 0.0]


def test_solved_follows_the_accuracy_function(folder: Path) -> None:
    functions = {"exact_number": 1.0, "r.py:halves": 1.0}
    assert [graded.solved for graded in grade(functions, ["1", "?"])] == [True, False]
    halves = grade(functions, ["1", "?"], accuracy="r.py:halves", correct_above=0.4)
    assert [graded.solved for graded in halves] == [True, None]
    assert grade(functions, ["1", "?"], accuracy="r.py:halves", correct_above=0.5)[0].solved is False


def test_functions_get_prompts_columns_and_options(folder: Path) -> None:
    graded = grade({"r.py:seen": 1.0, "r.py:tuned": 1.0}, ["ab", "c"], options={"r.py:tuned": {"scale": 10}})
    assert [part.parts for part in graded] == [{"r.py:seen": 3, "r.py:tuned": 20}, {"r.py:seen": 4, "r.py:tuned": 10}]


def test_process_isolated_rewards_use_the_graders_pool() -> None:
    functions = {"math": 1.0, "answer_format": 0.1}
    graded = grade(functions, ["<think>a</think><answer>1.0</answer>", "3"])
    assert [part.reward for part in graded] == [pytest.approx(1.1), 0.0]


def test_verdicts_are_numbers_and_are_logged(folder: Path) -> None:
    Path("v.py").write_text(
        "from rewards.verdict import Verdict\n"
        "def mine(completions): return [Verdict('correct', 'equal'), Verdict('ungradable', 'bad gold'), "
        "Verdict('unparseable', 'no answer')]\n"
    )
    with Grader({"v.py:mine": 1.0}, **SETTINGS) as grader:
        graded = grader.grade(["a", "b", "c"], ["", "", ""], {})
    assert [(g.reward, g.solved) for g in graded] == [(1.0, True), (None, None), (0.0, False)]
    assert graded[1].extra == {"v.py:mine/verdict": "ungradable", "v.py:mine/reason": "bad gold"}
    shares = {"correct": 1 / 3, "wrong": 0.0, "unparseable": 1 / 3, "ungradable": 1 / 3}
    assert grader.metrics == {f"v.py:mine/{outcome}": pytest.approx(share) for outcome, share in shares.items()}


def test_truth_values_are_numbers(folder: Path) -> None:
    assert [graded.reward for graded in grade({"r.py:truth": 2.0}, ["1", "3"])] == [2.0, 0.0]


def test_functions_log_columns_and_metrics(folder: Path) -> None:
    with Grader({"r.py:told": 1.0}, **SETTINGS) as grader:
        assert [g.extra for g in grader.grade(["ab", "c"], ["", ""], {})] == [{"told/length": 2}, {"told/length": 1}]
        assert grader.metrics == {"told/rows": 1.0}  # the mean of 2 and 0
        grader.grade([], [], {})
        assert grader.metrics == {"told/rows": 0.0}  # of the last call alone


def test_names_of_what_is_logged_can_be_written(folder: Path) -> None:
    with Grader({"r.py:half": 1.0}, **SETTINGS) as grader:
        assert grader.grade(["a"], [""], {})[0].extra == {"?": "x"}
        assert grader.metrics == {"?": 1.0}


def test_the_accuracy_function_is_graded_first_and_the_others_are_told(folder: Path) -> None:
    functions = {"r.py:known": 1.0, "r.py:halves": 1.0}
    graded = grade(functions, ["1", "?"], accuracy="r.py:halves", correct_above=0.4)
    assert [g.parts for g in graded] == [
        {"r.py:known": 1.0, "r.py:halves": 0.5},
        {"r.py:known": 0.0, "r.py:halves": None},
    ]
    assert list(graded[0].parts) == list(functions)


def test_a_gated_part_counts_only_where_the_completion_is_solved(folder: Path) -> None:
    functions = {"exact_number": 1.0, "r.py:array": 0.5}
    solved, not_solved = grade(functions, ["1", "3"], gated=["r.py:array"])
    assert (solved.reward, not_solved.reward) == (1.5, 0.0)
    assert not_solved.parts["r.py:array"] == 1.0  # what it returned is still told
    ungated = grade(functions, ["1", "3"])
    assert [g.reward for g in ungated] == [1.5, 0.5]


def test_a_gate_hides_what_is_ungradable_behind_it_and_passes_on_its_own(folder: Path) -> None:
    hidden = grade({"exact_number": 1.0, "r.py:halves": 1.0}, ["1", "?"], gated=["r.py:halves"])
    assert [g.reward for g in hidden] == [1.5, 0.0]  # "?" is wrong, so its None does not matter
    unsure = grade({"r.py:halves": 0.0, "r.py:array": 1.0}, ["1", "?"], gated=["r.py:array"], correct_above=0.4)
    assert [g.reward for g in unsure] == [1.0, None]  # it cannot be told whether the part counts


def test_functions_that_take_it_get_the_sandbox(folder: Path) -> None:
    assert grade({"r.py:isolated": 1.0}, ["a", "b"], sandbox="namespaces")[0].reward == 1.0
    assert grade({"r.py:isolated": 1.0}, ["a", "b"])[0].reward == 0.0


def test_a_class_is_closed_with_the_grader(folder: Path) -> None:
    made = grade({"r.py:Made": 1.0}, ["a", "b"], options={"r.py:Made": {"size": 1}})
    assert [g.reward for g in made] == [1.0, 1.0]
    assert (folder / "closed").exists()
    with pytest.raises(BadInput, match="needs the option 'size'"):
        Grader({"r.py:Made": 1.0}, **SETTINGS)


GOLDS = """from rewards.gold import checks_gold
def odd(columns, pool, options):
    assert options == {"sandbox": "landlock"} and pool.workers == 2
    return ["odd" if value % 2 else None for value in columns["answer"]]
def large(columns, pool, options):
    return ["large" if value > 2 else None for value in columns["answer"]]
@checks_gold(large)
def a(completions): return [1.0] * len(completions)
@checks_gold(odd)
def b(completions): return [1.0] * len(completions)
"""


def test_gold_answers_are_checked_by_the_functions_that_can(folder: Path) -> None:
    Path("g.py").write_text(GOLDS)
    settings = SETTINGS | {"workers": 2}
    with Grader({"g.py:a": 1.0, "g.py:b": 1.0, "exact_number": 0.0}, **settings, sandbox="landlock") as grader:
        reasons = ["g.py:b: odd", None, "g.py:a: large", "g.py:a: large"]
        assert grader.check_gold({"answer": [1, 2, 3, 4]}) == reasons
        assert grader.check_gold({}) == []
    with Grader({"exact_number": 1.0}, **SETTINGS) as grader:
        assert grader.check_gold({"answer": ["1", "x"]}) == [None, "exact_number: no number"]


@pytest.mark.parametrize(
    ("functions", "settings", "said"),
    [
        ({}, {}, "no reward function is given"),
        ({"cuontdown": 1.0}, {}, "did you mean 'countdown'"),
        ({"countdown": float("nan")}, {}, "weight of the reward 'countdown' is nan"),
        ({"countdown": 1.0}, {"accuracy": "math"}, "rewards.accuracy names 'math'"),
        ({"countdown": 1.0}, {"options": {"math": {}}}, "rewards.options names 'math'"),
        ({"countdown": 1.0}, {"options": {"countdown": {"format": 1}}}, "no option 'format'; it has format_score"),
        ({"countdown": 1.0}, {"options": {"countdown": {"grader_pool": 1}}}, "no option 'grader_pool'"),
        ({"countdown": 1.0}, {"options": {"countdown": {"sandbox": "auto"}}}, "set rewards.sandbox"),
        ({"countdown": 1.0}, {"gated": ["answer_format"]}, "rewards.gated names 'answer_format', which is not"),
        ({"countdown": 1.0, "answer_format": 1.0}, {"gated": ["countdown"]}, "itself says what is solved"),
    ],
)
def test_bad_settings(functions: dict[str, float], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Grader(functions, **(SETTINGS | settings))


def test_a_missing_column_is_named_with_those_present() -> None:
    with Grader({"countdown": 1.0, "answer_format": 1.0}, **SETTINGS) as grader:
        grader.check_columns({"nums", "target"})
        with pytest.raises(BadInput, match="'countdown' needs the column 'target'.*they have answer, nums"):
            grader.check_columns(["nums", "answer"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("short", "returned 1 items for 2"),
        ("text", "returned '1'"),
        ("nan", "returned 'nan'"),
        ("vast", "returned '1000"),
        ("far", "returned '1e.308'"),
        ("number", "returned a float"),
        ("keyed", "returned a dict"),
        ("unordered", "returned a set"),
        ("short_log", "logged 1 values in the column 'told' for 2"),
        ("nan_metric", "logged the metric 'told' as 'nan'"),
    ],
)
def test_a_function_that_does_not_return_numbers_is_named(folder: Path, name: str, said: str) -> None:
    with pytest.raises(BadInput, match=f"r.py:{name}' {said}" if said.startswith("returned") else said):
        grade({f"r.py:{name}": 1.0}, ["a", "b"])


def test_a_bug_in_a_function_keeps_its_own_traceback(folder: Path) -> None:
    with pytest.raises(RewardFailed, match="'r.py:bug' raised KeyError: 'mine' at r.py, line") as caught:
        grade({"r.py:bug": 1.0}, ["a", "b"])
    assert SETTINGS["isolated"] or isinstance(caught.value.__cause__, KeyError)


def test_no_completions_no_grades() -> None:
    with Grader({"math": 1.0}, **SETTINGS) as grader:
        assert grader.grade([], [], {"answer": []}) == []


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("soft_overlong_punishment", {"max_completion_len": 10, "soft_punish_cache": 20}, "soft_punish_cache"),
        ("repetition_penalty", {"ngram_size": 3, "max_penalty": 1.0}, "max_penalty"),
        ("language_consistency", {"language": "klingon"}, "klingon"),
        ("code", {"memory_mib": -1}, "memory_mib"),
    ],
)
def test_wrong_options_of_built_in_functions_are_refused_before_there_is_a_completion(
    name: str, options: dict[str, Any], words: str
) -> None:
    with Grader({name: 1.0}, **SETTINGS, options={name: options}) as grader, pytest.raises(BadInput, match=words):
        grader.rehearse({"answer", "check"})


def test_columns_named_like_what_rewards_are_given_do_not_matter(folder: Path) -> None:
    ours = {"log_extra", "log_metric", "grader_pool", "sandbox"}
    with Grader({"math": 1.0}, **SETTINGS) as grader:
        grader.rehearse({"answer", *ours})
        columns: dict[str, list[Any]] = {"answer": ["4"], **{name: [1] for name in ours}}
        assert grader.grade([r"\boxed{4}"], [""], columns)[0].reward == 1.0
