"""Whether a model's chat template ends soon and writes little: it is a program of others, in the language of Jinja.

transformers runs templates in Jinja's sandbox, which limits what they reach, but not their time and memory. So a
template is tried in a process of its own, with limits, before it is used in this one.
"""

import functools
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from rewards.errors import BadInput

if TYPE_CHECKING:  # transformers takes seconds to import, and a caller has it already
    from transformers import PreTrainedTokenizerBase

LONGEST = 10**6  # characters of a template, and of what it may write for a few short messages
CPU_SECONDS, WALL_SECONDS = 5, 60  # the second: a busy machine may let a process wait
MEMORY = 2**30  # bytes
TOO_LONG = 3  # exit status
HINT = "set problems.chat_template to false, or take a model with a sound template"

# No part of Penny is imported there: it starts in a tenth of a second. Faults of a template are no matter here, since
# transformers itself says them later, when real messages are rendered.
TRIAL = """
import json, re, resource, sys
asked = json.load(sys.stdin)
cpu, memory = asked["cpu"], asked["memory"]
resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from jinja2.sandbox import ImmutableSandboxedEnvironment
try:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
except (OSError, ValueError):
    pass  # macOS has no such limit

def refuse(message):
    raise ValueError(message)

world = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
world.filters["tojson"] = lambda value, **options: json.dumps(value)
world.globals.update(raise_exception=refuse, strftime_now=lambda form: "2026-01-01")
text = re.sub(r"\\{%([-+]?)\\s*(end)?generation\\s*([-+]?)%\\}", "", asked["template"])
for messages in asked["talks"]:
    try:
        template = world.from_string(text)
        written = 0
        for part in template.generate(messages=messages, add_generation_prompt=True, **asked["tokens"]):
            written += len(part)
            if written > asked["longest"]:
                sys.exit(3)
    except MemoryError:
        sys.exit(3)
    except Exception:
        pass
"""
SYSTEM, USER = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 1 + 1?"}
TALKS = [[USER], [SYSTEM, USER], [SYSTEM, USER, {"role": "assistant", "content": "2"}, USER]]


def check_chat_template(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Try a tokenizer's chat template on a few short messages, once in this process.

    Raises:
        BadInput: it does not end, or writes or needs too much.
    """
    template = tokenizer.chat_template
    texts = list(template.values()) if isinstance(template, dict) else [template]
    tokens = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    for text in texts:
        if text:
            _try(str(text), json.dumps(tokens))


@functools.lru_cache(maxsize=64)
def _try(template: str, tokens: str) -> None:
    if len(template) > LONGEST:
        raise BadInput(f"The tokenizer's chat template has more than {LONGEST:,} characters; {HINT}.")
    limits = {"cpu": CPU_SECONDS, "memory": MEMORY, "longest": LONGEST}
    asked = json.dumps({"template": template, "talks": TALKS, "tokens": json.loads(tokens)} | limits)
    command = [sys.executable, "-P", "-c", TRIAL]
    try:
        done = subprocess.run(command, input=asked.encode(), capture_output=True, timeout=WALL_SECONDS)
    except subprocess.TimeoutExpired:
        status = -1
    else:
        status = done.returncode
    if status == TOO_LONG:
        raise BadInput(f"The tokenizer's chat template writes a text without an end for a short message; {HINT}.")
    if status < 0:  # the system ended it, or its time was over
        raise BadInput(f"The tokenizer's chat template does not end within {CPU_SECONDS} seconds; {HINT}.")
