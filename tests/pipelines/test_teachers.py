"""Teachers: whose terms are asked about, what a budget and a rate allow, and traces that stand in a row."""

from typing import Any

import pytest

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection, RewardsSection
from rl.evaluation.templates import OWN
from rl.evaluation.units import Unit
from rl.pipelines.schema import TeacherSection
from rl.pipelines.teachers import ColumnTeacher, ServerTeacher, Spending, check_teacher
from rl.problems.benchmark import Benchmark
from rl.problems.problem import Problem
from rl.problems.prompt import render_without_tokenizer
from rl.rollout.endpoint import Endpoint, EndpointSettings
from rl.rollout.engine import SamplingParams
from tests.fake_endpoint import Answer, Body, FakeEndpoint, completion


def endpoint(url: str, **keys: Any) -> TeacherSection:
    return TeacherSection(source="endpoint", name="tiny", url=url, **keys)


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "https://my.server.example/v1"])
def test_the_terms_of_a_server_elsewhere_must_be_accepted(url: str) -> None:
    with pytest.raises(BadInput, match="set distil.teacher.terms_accepted to true"):
        check_teacher("distil", endpoint(url))
    check_teacher("distil", endpoint(url, terms_accepted=True))


def test_a_server_of_ones_own_is_not_asked_about() -> None:
    check_teacher("distil", endpoint("http://localhost:8000/v1"))


def test_known_terms_are_named_as_what_they_are() -> None:
    with pytest.raises(BadInput, match="forbid training models that compete"):
        check_teacher("d", endpoint("https://api.openai.com/v1"))
    with pytest.raises(BadInput, match="may forbid"):
        check_teacher("d", endpoint("https://notopenai.com/v1"))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"source": "model"}, "d.teacher.name is missing; source model needs it"),
        ({"source": "endpoint", "name": "x"}, "d.teacher.url is missing"),
        ({"source": "column"}, "d.teacher.template is missing"),
        ({"source": "model", "name": "x", "max_dollars": 1.0}, "set teacher.dollars_per_million"),
    ],
)
def test_a_teacher_that_lacks_something_is_refused(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        check_teacher("d", TeacherSection(**keys))


def unit(count: int) -> Unit:
    section = ProblemsSection(source="arithmetic", chat_template=False)
    benchmark = Benchmark(name="b", problems=section, rewards=RewardsSection(functions={"exact_number": 1.0}))
    problems = [Problem(f"p{n}", {"question": f"question number {n}"}) for n in range(count)]
    prompts = [render_without_tokenizer(section, problem) for problem in problems]
    return Unit(benchmark, OWN, prompts, [1] * count, SamplingParams(8), 0, "")


def answered(teacher: ServerTeacher, count: int) -> list[tuple[int, str]]:
    asked = unit(count)
    return sorted((p, output.text) for p, _, output in teacher.stream(asked, [(p, 0) for p in range(count)]))


def test_every_question_is_answered_and_paid_for() -> None:
    def answer(number: int, body: Body) -> Answer:
        return completion(body, body["prompt"].upper(), [1, 2, 3, 4])  # 3 words asked, 4 tokens written

    with FakeEndpoint(answer) as server:
        spending = Spending((10.0, 100.0))
        teacher = ServerTeacher(Endpoint(EndpointSettings(server.url, "tiny")), 4, 0.0, spending)
        found = answered(teacher, 10)
    assert found == [(n, f"QUESTION NUMBER {n}") for n in range(10)]
    assert spending.dollars == pytest.approx(10 * (3 * 10.0 + 4 * 100.0) / 1e6)


def test_nothing_is_asked_once_the_money_is_spent() -> None:
    def answer(number: int, body: Body) -> Answer:
        return completion(body, "x", [1] * 10)

    with FakeEndpoint(answer) as server:
        spending = Spending((0.0, 100_000.0), limit=3.0)  # a dollar an answer
        teacher = ServerTeacher(Endpoint(EndpointSettings(server.url, "tiny")), 2, 0.0, spending)
        found = answered(teacher, 50)
    assert 3 <= len(found) <= 4  # the third answer spends it; one more may be on its way
    assert len(server.asked) == len(found)
    assert spending.over


def test_requests_are_apart_by_the_interval() -> None:
    now = [0.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    with FakeEndpoint() as server:
        teacher = ServerTeacher(
            Endpoint(EndpointSettings(server.url, "tiny")), 8, 2.0, Spending(), clock=lambda: now[0], sleep=sleep
        )
        found = answered(teacher, 5)
    assert len(found) == 5
    assert sum(slept) == pytest.approx(8.0)  # at 0, 2, 4, 6 and 8 seconds


def test_a_column_of_texts_gives_several_traces_and_a_template_one() -> None:
    problem = Problem("p", {"generations": ["first", "second"], "answer": "4"})
    assert ColumnTeacher("{generations}").texts(problem) == ["first", "second"]
    assert ColumnTeacher("so {answer}").texts(problem) == ["so 4"]


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(BadInput, match="teacher.template names the column 'trace', which problem p does not have"):
        ColumnTeacher("{trace}").texts(Problem("p", {"answer": "4"}))
