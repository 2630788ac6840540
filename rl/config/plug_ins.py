"""The parts of the algorithm that a recipe names: built-in ones, and functions of users (docs/own-loss.md)."""

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from rewards.named import is_named

WHAT = {  # what the keys of the section `algorithm` name, in words
    "loss_type": "loss",
    "advantage_estimator": "advantage estimator",
    "importance_sampling_correction": "correction",
}
LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo")
ESTIMATORS = ("grpo", "rloo", "reinforce_plus_plus_baseline")
CORRECTIONS = (
    "none",
    "token_truncate",
    "token_mask",
    "sequence_truncate",
    "sequence_mask",
    "geometric_truncate",
    "geometric_mask",
)
USUAL_EPSILON_HIGH = {"cispo": 5.0}  # by loss; there it bounds the ratio itself


def built_in_or_named(*names: str) -> AfterValidator:
    """Refuse what is neither one of these names nor `path/to/file.py:function` or `package.module:function`."""
    known = f"{', '.join(map(repr, names[:-1]))} or {names[-1]!r}"

    def check(value: str) -> str:
        if value not in names and not is_named(value):
            text = "is no path/to/file.py:function, so it must be {known}"
            raise PydanticCustomError("unknown_name", text, {"known": known})
        return value

    return AfterValidator(check)
