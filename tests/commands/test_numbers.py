"""Numbers of the command line that nothing can be made of."""

import pytest
from typer.testing import CliRunner

from rl.cli import app

EVAL = ["eval", "--model", "tiny", "--benchmark", "gsm8k"]
COMMANDS = [
    [*EVAL, "--limit", str(10**30)],
    [*EVAL, "--limit", "0"],
    [*EVAL, "--limit", "-5"],
    [*EVAL, "-n", str(10**12)],
    [*EVAL, "--max-tokens", str(10**18)],
    [*EVAL, "--temperature", "nan"],
    [*EVAL, "--temperature", "1e400"],
    [*EVAL, "--top-k", str(10**40)],
    [*EVAL, "--concurrency", str(10**9)],
    [*EVAL, "--dollars-per-hour", "inf"],
    ["samples", "run", "-n", str(10**30)],
    ["samples", "run", "--step", "9" * 5000],
    ["grade", "math", "file", "--workers", str(10**9)],
    ["grade", "math", "file", "--timeout", "nan"],
    ["reward", "test", "exact_number", "--data", "file", "--limit", str(10**30)],
    ["reward", "test", "exact_number", "--data", "file", "--timeout", "inf"],
    ["chat", "tiny", "--max-tokens", str(10**12)],
    ["chat", "tiny", "--temperature", "nan"],
    ["price", "tiny", "--dollars-per-hour", "nan"],
    ["serve", "tiny", "--port", "99999"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command)[:60])
def test_a_number_that_is_absurd_is_refused(command: list[str]) -> None:
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output and isinstance(result.exception, SystemExit)
