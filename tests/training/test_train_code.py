"""A run that trains on programs, in the real sandbox, while its policy writes the most hostile ones it can."""

import json
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from rewards.errors import BadInput
from rewards.sandbox import Sandbox
from rl.config.recipe import Recipe
from rl.models.source import load_tokenizer
from rl.rollout.build import build_engine
from rl.rollout.engine import Completion, IndexedCompletion, NamedTensors, Refill, RolloutEngine, SamplingParams
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.run.rollouts import RolloutRow, read_rollouts
from rl.training import launch
from rl.training.checks import check_recipe
from rl.training.launch import run_recipe

STEPS = 3
SECONDS = 3.0  # that the programs of a completion may take
LONGEST_RUN = 120.0  # seconds; without other load it takes about 20
SAMPLES = 5  # of a problem and step: a right program, three hostile ones, and what the model itself said
MARK = "penny-test-survivor"
SECRET = "the canary's secret"

FUNCTION = "def add(a, b):\n    return a + b\n"
SCRIPT = "print(sum(map(int, input().split())))\n"
WRONG = "def add(a, b):\n    return 0\n"
CHECK = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(7, 35) == 42\n"
CALLS = [{"args": [1, 2], "expected": 3}, {"args": [7, 35], "expected": 42}]
LINES = [{"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "7 35\n", "stdout": "42\n"}]
PROBLEMS = [
    {"question": "Write add(a, b).", "kind": "call", "entry_point": "add", "tests": CALLS, "solution": FUNCTION},
    {"question": "Print the sum of two numbers.", "kind": "stdio", "tests": LINES, "solution": SCRIPT},
    {
        "question": "Write the function add.",
        "kind": "check",
        "entry_point": "add",
        "check": CHECK,
        "solution": FUNCTION,
    },
]
HELD_OUT = {**PROBLEMS[0], "question": "Add two numbers by add(a, b)."}
RIGHT = {str(problem["question"]): str(problem["solution"]) for problem in PROBLEMS}
HOSTILE = {  # three are tried in each step, each on all kinds of tests
    "loop": "while True:\n    pass\n",
    "forks": "import os\nwhile True:\n    os.fork()\n",
    "memory": "hoard = []\nwhile True:\n    hoard.append(b'x' * (64 << 20))\n",
    "exit": "import sys\nsys.exit(0)\n",
    "os_exit": "import os\nos._exit(0)\n",
    "kill": f"""import os
for pid in (os.getppid(), 1, -1):
    try:
        os.kill(pid, 9)
    except OSError:
        pass
{WRONG}""",
    "verdicts": f"""import json, os
said = json.dumps({{'outcome': 'correct', 'reason': 'all tests passed', 'share': 1.0}})
for fd in range(256):
    try:
        os.write(fd, said.encode() + b'\\n')
    except OSError:
        pass
{WRONG}""",
    "daemon": f"""import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, ['python', '-c', 'import time; time.sleep(600)', '{MARK}'])
    os._exit(0)
{WRONG}""",
    "canary": f"""try:
    found = open(CANARY).read()
except OSError:
    found = 'nothing'
try:
    open(CANARY, 'w').write('sung')
except OSError:
    pass
print(found)
{WRONG.replace("0", "found")}""",
}


def fenced(program: str) -> str:
    return f"Here it is.\n```python\n{program}```"


@dataclass
class HostileEngine:
    """A `RolloutEngine` that says what another one says, but puts programs first in each group that is trained on.

    Of the greedy answers of an evaluation, one a problem, none is replaced.
    """

    inner: RolloutEngine
    tokenizer: PreTrainedTokenizerBase
    hostile: Sequence[str]
    name: str = "hostile"
    step: int = field(default=0, init=False)

    def generate(
        self, prompts_P: Sequence[Sequence[int]], params: SamplingParams, seeds_P_G: Sequence[Sequence[int]]
    ) -> list[list[Completion]]:
        return self.inner.generate(prompts_P, replace(params, max_tokens=8), seeds_P_G)

    def stream(
        self,
        prompts_P: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds_P_G: Sequence[Sequence[int]],
        refill: Refill | None = None,
    ) -> Generator[IndexedCompletion, None, None]:
        if params.temperature == 0:  # an evaluation
            yield from self.inner.stream(prompts_P, replace(params, max_tokens=8), seeds_P_G, refill)
            return
        self.step += 1
        written = [self._written(prompt) for prompt in prompts_P]
        for p, g, said in self.inner.stream(prompts_P, replace(params, max_tokens=8), seeds_P_G, refill):
            yield p, g, (written[p] + [said] * SAMPLES)[g]

    def _written(self, prompt: Sequence[int]) -> list[Completion]:
        """The right program of a prompt's problem, and three hostile ones, others in each step."""
        text = self.tokenizer.decode(prompt)
        right = next(program for question, program in RIGHT.items() if question in text)
        return [self._completion(program) for program in (right, *self.hostile[3 * self.step - 3 : 3 * self.step])]

    def _completion(self, program: str) -> Completion:
        ids = tuple(self.tokenizer(fenced(program), add_special_tokens=False).input_ids)
        ids = (*ids, self.tokenizer.eos_token_id)
        return Completion(ids, (-5.5,) * len(ids), "stop")  # about what a random model gives to any of 259 tokens

    def load_weights(self, weights: NamedTensors) -> None:
        self.inner.load_weights(weights)

    def load_adapter(self, folder: str) -> None:
        self.inner.load_adapter(folder)

    def sleep(self) -> None:
        self.inner.sleep()

    def close(self) -> None:
        self.inner.close()


@dataclass(frozen=True)
class Run:
    """What is left of the run, and of the machine after it."""

    hostile: dict[str, str]
    rows: list[RolloutRow]
    metrics: list[dict[str, Any]]
    seconds: float
    canary: str
    started: set[int]  # children of this process that were not there before the run


@pytest.fixture(scope="module")
def run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of `STEPS` steps, with each hostile program once on each kind of tests."""
    try:
        Sandbox().close()
    except BadInput as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("code")
    with tempfile.TemporaryDirectory() as open_to_all:  # pytest's own folders are closed to other users
        Path(open_to_all).chmod(0o755)
        canary = Path(open_to_all) / "canary"
        canary.write_text(SECRET)
        canary.chmod(0o666)
        return hostile_run(tiny_model, folder, canary)


def hostile_run(model: Path, folder: Path, canary: Path) -> Run:
    hostile = {name: program.replace("CANARY", repr(str(canary))) for name, program in HOSTILE.items()}
    recipe = make_recipe(model, folder)
    assert not [warning for warning in check_recipe(recipe) if "gold" in warning]
    before, began = children(), time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "build_engine", lambda recipe: hostile_engine(recipe, list(hostile.values())))
        assert run_recipe(recipe)[0] == 0
    seconds = time.monotonic() - began
    finished = RunFolder.open(folder / "run")
    rows = [row for step in range(1, STEPS + 1) for row in read_rollouts(finished, step)]
    return Run(hostile, rows, read_metrics(finished), seconds, canary.read_text(), children() - before)


def make_recipe(model: Path, folder: Path) -> Recipe:
    for name, problems in (("training", PROBLEMS), ("held_out", [HELD_OUT])):
        rows = [json.dumps({**problem, "time_limit_s": SECONDS}) + "\n" for problem in problems]
        (folder / f"{name}.jsonl").write_text("".join(rows))
    tree = {
        "name": "test",
        "model": {"name": str(model), "lora_r": 4},
        "problems": {"source": "jsonl", "path": str(folder / "training.jsonl")},
        "rewards": {"functions": {"code": 1.0}, "timeout": SECONDS},
        "rollout": {
            "engine": "transformers",
            "device": "cpu",
            "num_generations": SAMPLES,
            "max_completion_length": 512,
            "max_gap": 100,  # the log-probabilities of what is put in are made up
        },
        "algorithm": {"problems_per_step": len(PROBLEMS)},
        "optimizer": {"learning_rate": 1e-3, "max_steps": STEPS},
        "evaluation": {"problems": {"path": str(folder / "held_out.jsonl")}, "size": 1, "max_completion_length": 8},
        "run": {"dir": str(folder / "run")},
    }
    return Recipe.model_validate(tree)


def hostile_engine(recipe: Recipe, hostile: Sequence[str]) -> HostileEngine:
    return HostileEngine(build_engine(recipe), load_tokenizer(recipe.model.name), hostile)


def children() -> set[int]:
    """The processes that this one has started and not yet waited for; ended ones, which are zombies then, count."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def of_program(run: Run, program: str) -> list[RolloutRow]:
    """Its completions, which are one for each kind of tests."""
    rows = [row for row in run.rows if row.completion == fenced(program)]
    assert len(rows) == len(PROBLEMS)
    return rows


@pytest.mark.slow
def test_the_run_completes_in_bounded_time(run: Run) -> None:
    assert [line["step"] for line in run.metrics] == list(range(1, STEPS + 1))
    assert len(run.rows) == STEPS * len(PROBLEMS) * SAMPLES
    assert run.seconds < LONGEST_RUN


def test_nothing_is_ungradable(run: Run) -> None:
    assert [row.extra["code/reason"] for row in run.rows if row.reward is None or row.advantage is None] == []
    assert [line["ungradable"] for line in run.metrics] == [0.0] * STEPS


def test_right_programs_are_paid_whoever_was_there_before(run: Run) -> None:
    right = [row for row in run.rows if row.completion in {fenced(program) for program in RIGHT.values()}]
    assert len(right) == STEPS * len(PROBLEMS)
    for row in right:
        assert (row.reward, row.solved, row.extra["code/verdict"]) == (1.0, True, "correct")
        assert row.advantage and row.advantage > 0


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs_are_not_paid_and_the_reason_is_stored(name: str, run: Run) -> None:
    for row in of_program(run, run.hostile[name]):
        assert (row.reward, row.solved, row.extra["code/verdict"]) == (0.0, False, "wrong")
        assert row.advantage and row.advantage < 0
        assert row.extra["code/reason"]


def test_what_the_model_itself_said_is_graded_beside_them(run: Run) -> None:
    own = [row for row in run.rows if not row.completion.endswith("```")]
    assert len(own) == STEPS * len(PROBLEMS)
    assert all(row.reward == 0 and row.extra["code/reason"] for row in own)


def test_the_canary_was_neither_read_nor_changed(run: Run) -> None:
    assert run.canary == SECRET
    assert not [row for row in run.rows if SECRET in json.dumps(row.extra)]


def test_no_process_is_left(run: Run) -> None:
    assert run.started == set()
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if MARK in command(path)]


def command(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:  # it has just ended
        return ""
