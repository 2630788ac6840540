"""Counted operations: against arithmetic by hand, torch's own counter, and trees that were really packed."""

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen2Config

from rl.config.recipe import ModelSection, Recipe
from rl.learner.packing import Sample, pack
from rl.learner.policy import Policy
from rl.planner import flops
from rl.planner.flops import Batch, TreeCounts
from rl.planner.lengths import geometric_survival
from rl.planner.shapes import Shape, shape_of

# Two layers, by hand. Matrices of one: q 8x8, k 8x4, v 8x4, o 8x8, gate, up and down 8x16: 64 + 32 + 32 + 64 + 3 x 128
# = 576. Head 10 x 8 = 80. An adapter of rank 2 on each has 2 (in + out): 32 + 24 + 24 + 32 + 3 x 48 = 256 a layer.
HAND = LlamaConfig(
    vocab_size=10,
    hidden_size=8,
    intermediate_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    tie_word_embeddings=True,
)
SMALL = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}


def section(full: bool, rank: int = 2) -> ModelSection:
    return ModelSection(name="any", use_peft=not full, lora_r=rank)


def recipe(**sections: dict[str, object]) -> Recipe:
    tree = {
        "name": "r",
        "model": {"name": "any"},
        "problems": {"source": "arithmetic"},
        "rewards": {"functions": {"exact_number": 1.0}},
    }
    return Recipe.model_validate(tree | sections)


def test_sizes_of_the_model_worked_out_by_hand() -> None:
    shape = shape_of(HAND, section(full=False))
    assert (shape.matrices, shape.head, shape.adapter) == (1152, 80, 512)
    # tied head and embeddings once, matrices, and 5 norms of 8 (two a layer and the last)
    assert shape.parameters == 80 + 1152 + 40
    assert (shape.trainable, shape.exported, shape.full) == (512, 1152, False)
    assert shape_of(HAND, section(full=True)).exported == shape.parameters


def test_operations_worked_out_by_hand() -> None:
    tree = TreeCounts(nodes=5, predicting=3, pairs=12)
    lora, full = (shape_of(HAND, section(whole)) for whole in (False, True))
    # matrices 2 x (1152 + 512) x 5 = 16640; attention 2 layers x (scores 2 x 8 + values 2 x 8) x 12 pairs = 768;
    # head 2 x 80 x 3 = 480
    assert flops.forward_flops(lora, tree) == 16640 + 768 + 480
    assert flops.forward_flops(lora, tree, adapter=False) == 11520 + 768 + 480
    # base once, adapter twice: (2 x 1152 + 4 x 512) x 5 = 21760; attention twice 768; head's gradient 480
    assert flops.backward_flops(lora, tree) == 21760 + 1536 + 480
    # everything twice: 4 x 1152 x 5 = 23040; 1536; head 4 x 80 x 3 = 960
    assert flops.backward_flops(full, tree) == 23040 + 1536 + 960


def test_what_a_recipe_adds() -> None:
    tree, lora = TreeCounts(nodes=5, predicting=3, pairs=12), shape_of(HAND, section(full=False))
    usual = 17888 + 23776  # forward and backward, as above
    assert flops.learner_flops(lora, tree, recipe()) == usual
    assert flops.learner_flops(lora, tree, recipe(algorithm={"num_iterations": 3})) == 3 * usual
    # the reference: a forward pass without the adapter; checkpointing: the layers forward once more
    assert flops.learner_flops(lora, tree, recipe(algorithm={"beta": 0.1})) == usual + 12768
    again = recipe(model={"name": "any", "gradient_checkpointing": True})
    assert flops.learner_flops(lora, tree, again) == usual + 17408


@pytest.mark.parametrize("config", [LlamaConfig(**SMALL, **HEADS), Qwen2Config(**SMALL, **HEADS)])
@pytest.mark.parametrize("full", [True, False])
def test_torch_counts_the_same_operations(config: PreTrainedConfig, full: bool) -> None:
    """One sequence of 7 in a plain attention, which computes all 49 pairs."""
    length, shape = 7, shape_of(config, section(full, rank=4))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with FlopCounterMode(display=False) as rotary:  # a matrix product up to transformers 5.18, none later
        model.model.rotary_emb(torch.zeros(1), torch.arange(length)[None])
    if not full:
        model = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    tree = TreeCounts(nodes=length, predicting=length, pairs=length**2)
    with FlopCounterMode(display=False) as forward:
        logits = model(input_ids=torch.arange(length)[None]).logits
    assert forward.get_total_flops() - rotary.get_total_flops() == flops.forward_flops(shape, tree)
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()
    spared = 0 if full else of_the_first_inputs(shape, rank=4) * length
    assert backward.get_total_flops() + spared == flops.backward_flops(shape, tree)


def of_the_first_inputs(shape: Shape, rank: int) -> int:
    """Operations a token that a frozen embedding spares: gradients of what q, k and v of the first layer get."""
    return 2 * shape.hidden * (shape.query + 2 * shape.key_value) + 2 * rank * shape.hidden * 3


def test_the_learners_matrix_products_are_those_that_are_counted() -> None:
    """The real policy on a packed tree: all but attention, whose kernels torch does not count."""
    config = LlamaConfig(**SMALL, **HEADS)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    adapter = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    policy = Policy(peft.get_peft_model(model, adapter).train(), has_adapter=True)
    samples = [Sample((1, 2, 3), ids, (0.0,) * len(ids), 1.0, True) for ids in ((4, 5, 6, 7), (4, 8, 9))]
    [batch] = pack(samples, 100)
    with FlopCounterMode(display=False) as counter:
        policy.logps(batch, 1.0)[0].sum().backward()
    tree = flops.count_tree([(s.prompt_ids, s.completion_ids) for s in samples])
    # 1 2 3, then 4, then 5 6 and 8 below it; the last of each is predicted only. 3, 4, 5, 6 and 8 predict.
    assert tree == TreeCounts(nodes=7, predicting=5, pairs=1 + 2 + 3 + 4 + 5 + 6 + 5)
    shape = shape_of(config, section(full=False, rank=4))
    attention = 12 * shape.layers * shape.query * tree.pairs
    counted = flops.forward_flops(shape, tree) + flops.backward_flops(shape, tree) - attention
    assert counter.get_flop_counts()["Global"][torch.ops.aten.mm] == counted - of_the_first_inputs(shape, 4) * 7


def test_an_expected_tree_is_the_real_one_where_nothing_varies() -> None:
    """3 problems of 6 tokens, the first 2 in common, 4 completions each of exactly 5 tokens that share nothing."""
    prompts = [(0, 1, *(10 + 4 * p + i for i in range(4))) for p in range(3)]
    paths = [
        (prompt, tuple(100 + 20 * p + 5 * g + t for t in range(5)))
        for p, prompt in enumerate(prompts)
        for g in range(4)
    ]
    real = flops.count_tree(paths)
    batch = Batch(problems=3, group=4, prompt=6, shared=2, survival=geometric_survival(5, 5))
    expected = flops.expect_tree(batch, 1000)
    assert expected.passes == 1
    assert expected.nodes == pytest.approx(real.nodes) == 2 + 3 * (4 + 4 * 4)
    assert expected.predicting == pytest.approx(real.predicting)
    assert expected.pairs == pytest.approx(real.pairs)


def test_skipped_groups_and_small_micro_batches() -> None:
    batch = Batch(problems=4, group=2, prompt=10, shared=0, survival=geometric_survival(11, 11), signal=0.5)
    # half of 4 groups; a group has 10 + 2 x 10 tokens
    assert flops.expect_tree(batch, 1000).nodes == pytest.approx(60)
    # passes of 20: the first cut falls into group one, the second into group two, and each repeats a prompt
    cut = flops.expect_tree(batch, 20)
    assert (cut.passes, cut.nodes) == (3, pytest.approx(60 + 2 * 10))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 6), st.integers(2, 40))
def test_branching_is_one_without_and_none_with_equal_answers(group: int, length: int) -> None:
    apart = [tuple(g * 100 + t for t in range(length)) for g in range(group)]
    assert flops.branching_of([apart]) == pytest.approx(1.0)
    assert flops.branching_of([[apart[0]] * group]) == pytest.approx(0.0)
