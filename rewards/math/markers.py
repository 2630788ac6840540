"""Words and signs that announce an answer in plain text: "the answer is", `ANSWER -`, the line `A: 18` of GSM8K.

`A:` is also the letter of a choice and the first half of a ratio, so it announces only where nothing else is likely:
at the start of the last line, or of a line that the next question follows.
"""

import functools
import re

from rewards.math.phrases import ALTERNATIVES

_NEAR = 80  # characters between two announcements of alternatives

# Phrases that announce an answer. They end in a colon, a form of "be", or nothing but formatting.
_LETTER = r"\**\(?(?-i:[A-J])\b\)?\**"  # of a choice
_CHOSEN = (
    r"(?<!should )(?<!if )(?<!do )(?<!can )\bI(?:['’]d|['’]ll| would| will)?+\s++(?:choose|chose|pick|select|go with)"
    rf"\s++(?:option\s++|choice\s++|answer\s++)?+(?={_LETTER})"
    r"|(?:^|(?<=[.!] )|\b(?:so|thus|hence|therefore),?\s)"
    rf"(?={_LETTER} is (?:the )?(?:correct|right)\b[\w ]{{0,20}}(?:[.!]|$))"
)
_ANNOUNCED = re.compile(
    rf"(?:{_CHOSEN}|"
    r"(?:final\s++)?(?:answer|result)s?+\**+\s*+(?:(?:is|are|be|=|equals|"
    r"could be|might be|may be|would be|should be)\b\s*+(?:that\b)?+:?+|:|\**+:|(?=\s*+(?:\\[\[(]|\$)))"
    r"|(?:answer|result)s?+\**+[ \t]*+:?+\**+(?=[ \t\r]*+\n)|\b(?:option|choice)(?:\s++is)?+:?+\s++(?=\**\(?[A-J]\b)"
    r"|^[ \t>#*_]*+(?:final[ \t]++)?+ans(?:wer)?+\.?+[*_]*+(?:[ \t]*+[:：=]|[ \t]++(?:[-–—](?=[ \t])|(?=[-−]\$?\d)))"
    r"|答案(?:应该)?(?:是|为|等于)?|答え(?:は)?|正解(?:は)?|答(?=[:：])|정답(?:은|:)?|답(?:은|:)"
    r"|(?:ال)?(?:جواب|إجابة|اجابة|پاسخ)(?:\s++(?:النهائي|النهائية|الصحيح|الصحيحة|نهایی|درست))?+(?:\s++(?:هو|هي))?+"
    r"|ответ(?:\s++[—–-](?=\s))?+|(?:antwort|endergebnis)(?:\s++(?:ist|lautet))?+|réponse(?:\s++finale)?+(?:\s++est)?+"
    r"|respuesta(?:\s++(?:final\s++)?es)?+|resposta(?:\s++é)?+|risposta(?:\s++è)?+|cevap|jawaban(?:nya)?+(?:\s++adalah)?+"
    r"|câu trả lời là|đáp án(?:\s++là)?+|\bjibu(?:\s++la\s++mwisho)?+(?:\s++ni\b)?+|คำตอบ(?:สุดท้าย)?+(?:คือ)?+"
    r"|відповід(?:ь|дю є)(?:\s++[—–-](?=\s))?+|odpowied(?:ź|zią)(?:\s++(?:to|jest)\b)?+|(?:eind)?antwoord(?:\s++is)?+"
    r"|svaret(?:\s++är|\s++er)?+|vastaus(?:\s++on)?+|válasz|răspuns(?:ul)?+(?:\s++(?:final\s++)?este)?+"
    r"|odpověď|απάντηση(?:\s++είναι)?+|התשובה(?:\s++היא)?+"
    r"|उत्तर|উত্তর(?:\s++হ(?:ল|লো|চ্ছে))?+|సమాధానం|జవాబు"
    r")[\s*:：]*+",
    re.IGNORECASE | re.MULTILINE,
)

_LINE = re.compile(r"^[ \t>#*_]*+A[*_]*+[:：][*_]*+(?:[ \t]++|(?![A-Za-z]))(?=\S)(?P<value>.*)$", re.MULTILINE)
_NEXT = re.compile(r"\s*+(?:\Z|[#*_> \t]*+(?:Q|Question|Problem)\b[^\n:.]{0,20}[:.])")
_OTHER_OPTION = re.compile(r"^[ \t>#*_(-]*+[B-J][*_]*+[):.]", re.MULTILINE)
_SEVERAL_SENTENCES = re.compile(r"[.!?]\s++\S")

_CALCULATION = re.compile(r"<<[^<>\n=]{1,200}=[^<>\n]{0,200}>>")


@functools.lru_cache(maxsize=2)  # two readers ask about the same text
def announced(text: str) -> tuple[int, ...]:
    """Where the answers that are announced begin, in order; of alternatives ("or the answer is 6") the first only."""
    starts: list[int] = []
    end = 0
    for mark in _ANNOUNCED.finditer(text):
        between = text[end : mark.start()]
        if not starts or len(between) > _NEAR or not ALTERNATIVES.search(between):
            starts.append(mark.end())
        end = mark.end()
    return tuple(starts)


def answer_line(text: str) -> tuple[int, str, str] | None:
    """(where it begins, the line, what follows the marker) of a line `A: ...` that gives the answer; None without."""
    if "A" not in text or _OTHER_OPTION.search(text):
        return None
    for mark in _LINE.finditer(text):
        value = mark["value"].strip().strip("*_").strip()
        if value and not _SEVERAL_SENTENCES.search(value) and _NEXT.match(text, mark.end()):
            return mark.start(), mark[0].strip(), value
    return None


def without_calculations(text: str) -> tuple[str, bool]:
    """A text without GSM8K's calculator marks `<<2*3=6>>`, and whether there were any."""
    if "<<" not in text:
        return text, False
    bare = _CALCULATION.sub("", text)
    return bare, bare != text
