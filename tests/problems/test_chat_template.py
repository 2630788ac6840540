"""A chat template that does not end, or writes without an end, is refused in a sentence and harms nobody."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection
from rl.problems import chat_template
from rl.problems.chat_template import check_chat_template
from rl.problems.problem import Problem
from rl.problems.prompt import Prompter
from tests.conftest import CHAT_TEMPLATE, byte_tokenizer
from tests.sampled import first_of


def tokenizer(template: Any) -> Any:
    return SimpleNamespace(chat_template=template, special_tokens_map={"bos_token": "<s>", "additional": ["a"]})


SLOW = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
ENDLESS = {
    "loops in loops": SLOW,
    "loops for some talks alone": "{% if messages | length == 4 %}" + SLOW + "{% endif %}",
    "a macro of macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "long parts": "{% for x in range(99999) %}{{ 'x' * 10 ** 5 }}{% endfor %}",
    "a long text": "{{ 'x' * 10 ** 9 }}",
    "a longer text": "{{ 'x' * 10 ** 12 }}",
    "a long list": "{{ [0] * 10 ** 10 }}",
    "a power": "{{ 9 ** (9 ** 9) }}",
    "a wide format": "{{ '%3000000000d' | format(1) }}",
    "a wide format of Python": "{{ '{:>3000000000}'.format(1) }}",
    "a wide text": "{{ 'x'.center(3000000000) }}",
    "a doubled text": "{% set s = namespace(t='x') %}{% for i in range(60) %}{% set s.t = s.t ~ s.t %}{% endfor %}",
    "many small parts": "{% for a in range(99999) %}{% for b in range(999) %}xxxxxxxxxx{% endfor %}{% endfor %}",
    "one of several": {"default": CHAT_TEMPLATE, "tool_use": "{{ 'x' * 10 ** 9 }}"},
    "too long itself": "{# " + "x" * 10**6 + " #}",
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "template"), first_of(ENDLESS, 4))
def test_a_template_without_an_end_is_refused(name: str, template: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "CPU_SECONDS", 1)
    began = time.monotonic()
    with pytest.raises(BadInput, match="The tokenizer's chat template"):
        check_chat_template(tokenizer(template))
    assert time.monotonic() - began < 30  # processor time is a second; the machine may be busy


SOUND = {
    "of the tests": CHAT_TEMPLATE,
    "none": None,
    "without a system message": "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}",
    "marks of generation": "{% generation %}{{ messages[0].content }}{%- endgeneration -%}",
    "breaks and JSON": "{% for m in messages %}{{ m | tojson(indent=2) }}{% break %}{% endfor %}",
    "the day": "{{ strftime_now('%d %b %Y') }}",
    "a fault": "{{ 1 / 0 }}",
    "no template": "{% for %}",
}


@pytest.mark.parametrize("name", SOUND)
def test_a_template_that_ends_is_left_to_transformers(name: str) -> None:
    check_chat_template(tokenizer(SOUND[name]))


def test_a_template_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    check_chat_template(tokenizer(CHAT_TEMPLATE + "{# once #}"))
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("tried again"))
    check_chat_template(tokenizer(CHAT_TEMPLATE + "{# once #}"))


def test_a_prompter_tries_its_template_before_anything_else() -> None:
    made = byte_tokenizer()
    made.chat_template = "{{ 'x' * 10 ** 9 }}"
    with pytest.raises(BadInput, match="writes a text without an end"):
        Prompter(ProblemsSection(source="arithmetic"), made)
    Prompter(ProblemsSection(source="arithmetic", chat_template=False), made)


@pytest.mark.parametrize("template", ["{{ 1 / 0 }}", "{{ messages[0].content + 1 }}", "{{ none() }}", "{% for %}"])
def test_a_fault_of_a_template_is_a_sentence(template: str) -> None:
    made = byte_tokenizer()
    made.chat_template = template
    prompter = Prompter(ProblemsSection(source="arithmetic", prompt="{question}"), made)
    with pytest.raises(BadInput, match="chat template refuses the messages"):
        prompter.render(Problem("p", {"question": "1 + 1"}))
