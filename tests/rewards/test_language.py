import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.errors import BadInput
from rewards.language import LANGUAGES, detect_language, language_code, language_consistency, language_share, reasoning

# The same solution, as a fluent writer of each language would put it, after the question in that language.
SOLUTIONS = {
    "ar": (
        "كم تفاحة بقيت مع سارة إذا كان لديها 12 تفاحة وأعطت صديقتها 5 تفاحات؟",
        "كان لدى سارة اثنتا عشرة تفاحة، وأعطت صديقتها خمس تفاحات. نطرح العدد الثاني من العدد الأول: 12 - 5 = 7. "
        "لنتحقق من الناتج. إذا جمعنا سبعة وخمسة حصلنا على اثني عشر. إذن بقيت معها سبع تفاحات.",
    ),
    "zh": (
        "小红有12个苹果，她给了朋友5个，还剩几个？",
        "小红原来有十二个苹果，给了朋友五个。所以我们用减法计算：12 - 5 = 7。"
        "让我检查一下，七加五等于十二，结果正确。因此还剩七个苹果。",
    ),
    "en": (
        "Sara had 12 apples and gave 5 of them to a friend. How many are left?",
        "Sara had twelve apples and gave five of them to her friend. So we subtract: 12 - 5 = 7. "
        "Wait, let me check that. Seven plus five is twelve, which is right. Therefore seven apples are left.",
    ),
    "fr": (
        "Sara avait 12 pommes et en a donné 5 à une amie. Combien lui en reste-t-il ?",
        "Sara avait douze pommes et elle en a donné cinq à son amie. On soustrait donc : 12 - 5 = 7. "
        "Attends, vérifions. Sept plus cinq font douze, c'est juste. Il lui reste donc sept pommes.",
    ),
    "de": (
        "Sara hatte 12 Äpfel und gab einer Freundin 5 davon. Wie viele bleiben übrig?",
        "Sara hatte zwölf Äpfel und gab ihrer Freundin fünf davon. Wir ziehen also ab: 12 - 5 = 7. "
        "Moment, ich prüfe das noch einmal. Sieben plus fünf ergibt zwölf, das stimmt. "
        "Also bleiben sieben Äpfel übrig.",
    ),
    "es": (
        "Sara tenía 12 manzanas y le dio 5 a una amiga. ¿Cuántas le quedan?",
        "Sara tenía doce manzanas y le dio cinco a su amiga. Entonces restamos: 12 - 5 = 7. "
        "Espera, vamos a comprobarlo. Siete más cinco son doce, así que es correcto. "
        "Por lo tanto le quedan siete manzanas.",
    ),
    "ru": (
        "У Сары было 12 яблок, 5 из них она отдала подруге. Сколько осталось?",
        "У Сары было двенадцать яблок, пять из них она отдала подруге. Значит, вычитаем: 12 - 5 = 7. "
        "Подождите, проверим. Семь плюс пять равно двенадцать, всё верно. Следовательно, осталось семь яблок.",
    ),
    "uk": (
        "У Сари було 12 яблук, 5 з них вона віддала подрузі. Скільки залишилося?",
        "У Сари було дванадцять яблук, п'ять з них вона віддала подрузі. Отже, віднімаємо: 12 - 5 = 7. "
        "Зачекайте, перевіримо. Сім плюс п'ять дорівнює дванадцять, усе правильно. Тому залишилося сім яблук.",
    ),
    "ja": (
        "サラはりんごを12個持っていて、友だちに5個あげました。残りは何個ですか。",
        "サラは最初に十二個のりんごを持っていました。友だちに五個あげたので、引き算をします。12 - 5 = 7。"
        "確認してみましょう。七に五を足すと十二になるので、正しいです。したがって、残りは七個です。",
    ),
    "ko": (
        "사라는 사과 12개를 가지고 있었고 친구에게 5개를 주었습니다. 몇 개가 남았나요?",
        "사라는 처음에 사과 열두 개를 가지고 있었습니다. 친구에게 다섯 개를 주었으므로 뺄셈을 합니다: 12 - 5 = 7. "
        "확인해 봅시다. 일곱에 다섯을 더하면 열둘이므로 맞습니다. 따라서 일곱 개가 남았습니다.",
    ),
    "hi": (
        "सारा के पास 12 सेब थे और उसने 5 सेब अपनी सहेली को दिए। कितने सेब बचे?",
        "सारा के पास पहले बारह सेब थे। उसने अपनी सहेली को पाँच सेब दिए, इसलिए हम घटाते हैं: 12 - 5 = 7। "
        "चलो जाँच करते हैं। सात और पाँच मिलकर बारह होते हैं, तो उत्तर सही है। इसलिए सात सेब बचे हैं।",
    ),
    "fa": (
        "سارا ۱۲ سیب داشت و ۵ تا را به دوستش داد. چند سیب باقی مانده است؟",
        "سارا در ابتدا دوازده سیب داشت و پنج تا از آن‌ها را به دوستش داد. پس تفریق می‌کنیم: ۱۲ - ۵ = ۷. "
        "بیایید بررسی کنیم. هفت به علاوه پنج می‌شود دوازده که درست است. بنابراین هفت سیب باقی مانده است.",
    ),
    "th": (
        "ซาร่ามีแอปเปิล 12 ลูก และให้เพื่อนไป 5 ลูก เหลือกี่ลูก",
        "ตอนแรกซาร่ามีแอปเปิลสิบสองลูก แล้วให้เพื่อนไปห้าลูก ดังนั้นเราจึงลบกัน 12 - 5 = 7 เพราะฉะนั้นเหลือแอปเปิลเจ็ดลูก",
    ),
}
by_language = pytest.mark.parametrize("code", SOLUTIONS)


@by_language
def test_reasoning_in_the_language_of_the_prompt_earns_everything(code: str) -> None:
    question, solution = SOLUTIONS[code]
    completion = f"<think>{solution}</think><answer>7</answer>"
    assert detect_language(question) == code
    assert language_consistency([completion], [question]) == [1.0]
    assert language_consistency([completion], language=LANGUAGES[code].name) == [1.0]


@by_language
def test_reasoning_in_another_language_earns_nothing(code: str) -> None:
    for other in SOLUTIONS.keys() - {code}:
        assert language_share(SOLUTIONS[other][1], code) == 0.0, other


@by_language
def test_conversational_prompts_and_completions(code: str) -> None:
    question, solution = SOLUTIONS[code]
    prompt = [
        {"role": "system", "content": "You are a helpful assistant. Think step by step before you answer. " * 3},
        {"role": "user", "content": "Hello, who are you? Please tell me in a few words, and in English."},
        {"role": "assistant", "content": "I am an assistant."},
        {"role": "user", "content": question},
    ]
    completion = [{"role": "assistant", "content": f"<think>{solution}</think>Seven apples are left for her."}]
    assert language_consistency([completion], [prompt]) == [1.0]


def test_half_english_half_chinese() -> None:
    text = "We add three and five here. 我们把三和五加。"  # 6 words; 7 characters, each a word
    assert language_share(text, "en") == pytest.approx(6 / 13)
    assert language_share(text, "zh") == pytest.approx(7 / 13)
    text = "So the total number of apples is seven. 因此苹果总数是七个"  # 8 and 9
    assert language_consistency([text, text], language=["en", "zh"]) == pytest.approx([8 / 17, 9 / 17])


def test_half_english_half_french() -> None:
    english = "We know that the first box holds three red balls."  # 10 words
    french = "Nous savons que la première boîte contient trois boules rouges."  # 10
    assert language_share(f"{english} {french}", "en") == 0.5
    assert language_share(f"{french}\n{english}\n{french}", "fr") == pytest.approx(20 / 30)


def test_japanese_counts_kanji_and_runs_of_kana() -> None:
    assert language_share("三角形の面積 is wanted", "ja") == pytest.approx(6 / 8)  # 三 角 形 の 面 積
    assert language_share("アルゴリズムです", "ja") == 1.0
    assert language_share("これは正しい。So it is right then", "ja") == pytest.approx(3 / 8)  # これは 正 しい


def test_formulas_and_code_do_not_count() -> None:
    english = (
        "We solve $x^2 - 5x + 6 = 0$ by factoring: \\[(x-2)(x-3) = 0 \\quad\\text{oder}\\quad y\\] so \\(x = 2\\) or\n"
        "$$\\begin{aligned} a &= \\sin\\theta \\\\[2pt] b &= \\frac{1}{2}\\end{aligned}$$ is right; and "
        "\\begin{align*} f(x) &= \\text{mal sehen} \\end{align*} gives \\boxed{\\text{zwei}} because x_1 = 3cm and ABC "
        "are \\alpha, see https://example.org/warum-denn-nicht."
    )
    assert language_share(english, "en") == 1.0
    assert language_share(english, "de") == 0.0


def test_arabic_with_english_code() -> None:
    arabic = (
        "نكتب برنامجا يجمع الأعداد:\n```python\ndef total(numbers):\n    return sum(numbers)  # adds all of them\n```\n"
        "ثم نستدعي الدالة `total([1, 2])` في المثلث ABC فنحصل على الناتج x = 3 cm."
    )
    assert language_share(arabic, "ar") == 1.0
    assert language_share(arabic, "en") == 0.0


def test_a_language_that_is_no_code_cannot_hide_in_code() -> None:
    text = "So we add them.\n```\n我们把三和五加起来\n```\n"  # 4 words; 9 characters
    assert language_share(text, "en") == pytest.approx(4 / 13)
    assert language_share("So we add them. $我们$", "en") == pytest.approx(4 / 6)


def test_prices_are_no_formulas() -> None:
    assert language_share("They cost $5 and the other 苹果 cost $7 each", "en") == pytest.approx(7 / 9)


@pytest.mark.parametrize(
    "text", ["", "<think></think>", "<think>\n</think>So it is seven.", "12 - 5 = 7", "$x$", "🙂 …"]
)
def test_reasoning_without_words_earns_nothing(text: str) -> None:
    assert language_consistency([text], language="en") == [0.0]


def test_what_is_the_reasoning() -> None:
    assert reasoning("<think>a</think>b") == "a"
    assert reasoning("a</think>b") == "a"  # the prompt opened the block
    assert reasoning("x<think>a") == "a"  # cut off
    assert reasoning("a") == "a"
    assert reasoning("<think>a</think>b</think>c") == "a</think>b"
    assert reasoning("<think>a<think>b</think>c") == "a<think>b"


def test_only_the_reasoning_counts() -> None:
    assert language_consistency(["<think>我们计算</think> the answer is seven"], language="zh") == [1.0]
    assert language_consistency(["我们计算 the answer is"], language="zh") == [pytest.approx(4 / 7)]


def test_the_language_of_one_completion_may_come_from_its_prompt() -> None:
    texts = [SOLUTIONS["fr"][1]] * 3
    assert language_consistency(texts, [SOLUTIONS["en"][0]] * 3, language=["fr", None, "de"]) == [1.0, 0.0, 0.0]


def test_short_prompts_are_taken_for_the_commonest_likely_language() -> None:
    prompts = ["Solve for $x$: $3x = 6$.", "Compute $2+2$.", "Calculer $2+2$.", "Calcula $2+2$.", "Berechne $2+2$."]
    assert [detect_language(prompt) for prompt in prompts] == ["en", "en", "fr", "es", "de"]


def test_a_prompt_without_words_cannot_tell_the_language() -> None:
    assert language_consistency(["So it is four."], ["$2 + 2 =$"]) == [None]
    assert language_consistency(["So it is four."], [[{"role": "user", "content": "2 + 2"}]]) == [None]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("en", "en"),
        ("English", "en"),
        (" ZH ", "zh"),
        ("pt-BR", "pt"),
        ("zh_Hans_CN", "zh"),
        ("Farsi", "fa"),
        ("nb", "no"),
    ],
)
def test_names_of_languages(name: str, code: str) -> None:
    assert language_code(name) == code


@pytest.mark.parametrize("name", ["xx", "", "Klingon", "english please"])
def test_unknown_languages(name: str) -> None:
    with pytest.raises(BadInput, match=f"the language '{name}' .* is not known; give the ISO 639-1 code"):
        language_consistency(["a"], ["b"], language=name)
    with pytest.raises(BadInput, match="is not known"):
        language_consistency([], [], language=name)


def test_the_language_must_come_from_somewhere() -> None:
    with pytest.raises(BadInput, match="no prompts to tell the language from"):
        language_consistency(["a"])
    with pytest.raises(BadInput, match="no prompts to tell the language from"):
        language_consistency(["a", "b"], language=["en", None])


def test_the_detector_knows_every_language_that_shares_a_script() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    assert LANGUAGES.keys() <= set(LanguageIdentifier.from_model_file(MODEL_FILE).labels)


pieces = st.sampled_from(
    ["<think>", "</think>", "$", "`", "```", "\\[", "\\]", "\\boxed{", "}", "Wort ", "mot ", "我", "か"]
)


@settings(max_examples=200)
@given(st.lists(pieces | st.text()).map("".join), st.sampled_from(sorted(LANGUAGES)), st.text())
def test_a_share_is_between_0_and_1(text: str, code: str, prompt: str) -> None:
    assert 0 <= language_consistency([text], language=code)[0] <= 1
    guessed = language_consistency([text], [prompt])[0]
    assert guessed is None or 0 <= guessed <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        "$",
        "`",
        "``` ",
        "\\[",
        "\\(a",
        "\\boxed{",
        "\\boxed{{}",
        "\\begin{a}",
        "\\",
        "{",
        "<a",
        "a",
        "a1",
        "a'",
        "a\u0315\u0300",
    ]
    + ["我", "我 ", "les mots ", "aé. ", "https://", "\udc80", "\\$", "$a\\$", "[asy]"],
)
def test_time_is_linear(part: str) -> None:
    text = part * (200_000 // len(part))
    started = time.perf_counter()
    language_consistency([text], language="fr")
    assert time.perf_counter() - started < 10  # quadratic: minutes
