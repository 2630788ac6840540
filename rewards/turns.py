"""The marks of chat templates and tokenizers in a text: where its turn ends, and the text without them.

Graders read text that may still hold such marks, because the tokenizer was asked to keep them, or because a stored
output does. All graders use this module, so that one completion is read in one way.
"""

import re

_HEADER = r"<\|im_start\|>assistant|<\|start_header_id\|>assistant|<start_of_turn>model"
_TOKEN = r"<\|[A-Za-z0-9_]{1,30}\|>|<｜[\w▁]{1,30}｜>|</?s>|<(?:end|start)_of_turn>|<[be]os>"
MARK = re.compile(f"{_HEADER}|{_TOKEN}")
_BEFORE_TEXT = re.compile(rf"(?:\s|{MARK.pattern})*+")
_NEXT_TURN = re.compile(r"<\|im_start\|>\s*+user\b|<\|start_header_id\|>\s*+user\b|<start_of_turn>\s*+user\b")
# These end a document. What follows one is another document, unless nothing stands before it.
_END_OF_TEXT = re.compile(r"<\|(?:endoftext|end_of_text|EOT)\|>|<｜end▁of▁sentence｜>|<eos>")


def end_of_turn(text: str, begun: bool = False) -> int:
    """The place where a turn ends, because a user's turn or another document follows; the length if neither does.

    Args:
        text: of the turn and what follows it.
        begun: something of the turn stands before this text.
    """
    if "<" not in text:
        return len(text)
    turn = _NEXT_TURN.search(text, 0 if begun else 1)
    end = len(text) if turn is None else turn.start()
    before = None if begun else _BEFORE_TEXT.match(text)
    document = _END_OF_TEXT.search(text, before.end() if before else 0, end)
    return end if document is None else document.start()


def this_turn(text: str) -> str:
    """A text without its marks and without what follows in another turn."""
    if "<" not in text:
        return text
    return MARK.sub(" ", text[: end_of_turn(text)])
