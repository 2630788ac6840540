"""The rungs that run in the trainer's process, each with values worked out by hand."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.math.clean import clean, words
from rewards.math.compare import compare
from rewards.math.exact import NotRational, TooLarge, rational
from rewards.math.numerals import read_number
from rewards.math.symbols import plain
from rewards.math.tree import parse
from rewards.math.units import conversion, split_unit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("٤٢", "42"),
        ("۴۲", "42"),
        ("４２", "42"),
        ("३", "3"),
        ("٣٫١٤", "3.14"),
        ("١٬٢٣٤", "1,234"),
        ("−5", "-5"),
        ("½", "\\frac{1}{2}"),
        ("⅔", "\\frac{2}{3}"),
        ("10⁻³", "10^{-3}"),
        ("x₁₂", "x_{12}"),
        ("x≥2", "x\\ge 2"),
        ("√2", "\\sqrt 2"),
        ("2π", "2\\pi "),
        ("\u200f5\u200e", "5"),
        ("\ud800", " "),
    ],
)
def test_unicode_is_spelled_out(text: str, expected: str) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("-42", -42),
        ("+01,000.00", 1000),
        ("1,234,567", 1234567),
        ("12 345", 12345),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("1/3", Fraction(1, 3)),
        ("-3./2", Fraction(-3, 2)),
        ("\\frac{10}{4}", Fraction(5, 2)),
        ("\\frac12", Fraction(1, 2)),
        ("\\frac{10}3", Fraction(10, 3)),
        ("7 3/4", Fraction(31, 4)),
        ("-2\\frac{1}{3}", Fraction(-7, 3)),
        ("2.5e3", 2500),
        ("3*10^8", 300_000_000),
        ("1.5*10^{-3}", Fraction(3, 2000)),
        ("0.\\overline{3}", Fraction(1, 3)),
        ("0.1(6)", Fraction(1, 6)),
        ("0.333...", Fraction(1, 3)),
        ("0.1666...", Fraction(1, 6)),
        ("5 million", 5_000_000),
        ("2.5 billion", 2_500_000_000),
        ("5万", 50_000),
        ("forty-two", 42),
        ("one hundred and five", 105),
    ],
)
def test_numbers_are_read_exactly(text: str, value: Fraction | int) -> None:
    number = read_number(text)
    assert number is not None
    assert number.value == value


@pytest.mark.parametrize(
    "text",
    ["", ".", "1/0", "\\frac{1}{0}", "x", "1 2", "1,23", "10,20", "1e99999", "--1-", "2\\frac{7}{3}", "9" * 2000],
)
def test_what_is_no_number(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("text", "body", "unit", "percent"),
    [
        ("5‹ cm›", "5", "cm", False),
        ("5 cm", "5", "cm", False),
        ("15‹ cm›^2", "15", "cm2", False),
        ("12 square units", "12", "square units", False),
        ("28%", "28", "", True),
        ("28 percent", "28", "", True),
        ("§18.90", "18.90", "§", False),
        ("5 million dollars", "5 million", "dollars", False),
        ("90^\\circ", "90", "°", False),
        ("2x", "2x", "", False),
        ("3m", "3m", "", False),
        ("2 pi", "2 pi", "", False),
        ("\\tan 15^\\circ", "\\tan 15^\\circ", "", False),
    ],
)
def test_units_come_off(text: str, body: str, unit: str, percent: bool) -> None:
    assert split_unit(text) == (body, unit, percent)


@pytest.mark.parametrize(
    ("gold", "answer", "factor"),
    [
        ("cm", "m", 100),
        ("mile/hour", "mph", 1),
        ("m/s", "m/s^2", None),
        ("hours", "cm", None),
        ("cm2", "square centimeters", 1),
        ("apples", "oranges", 1),
        ("", "cm", 1),
        ("minutes", "hours", 60),
    ],
)
def test_units_are_converted_or_contradict(gold: str, answer: str, factor: int | None) -> None:
    assert conversion(gold, answer) == factor


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2+3*4", 14),
        ("2^{3^2}", 512),
        ("-2^2", -4),
        ("(1+2)(3)", 9),
        ("\\frac{1}{2}+\\frac13", Fraction(5, 6)),
        ("5!7!", 604_800),
        ("\\binom{5}{2}", 10),
        ("\\sqrt[3]{8}", 2),
        ("8^{1/3}", 2),
        ("\\sqrt{\\frac{4}{9}}", Fraction(2, 3)),
        ("\\lfloor 3.7 \\rfloor", 3),
        ("|3-5|", 2),
        ("\\gcd(12, 18)", 6),
        ("3 \\frac{1}{2}", Fraction(7, 2)),
    ],
)
def test_rational_formulae_are_worked_out(text: str, value: Fraction | int) -> None:
    read = parse(text)
    assert read is not None
    assert rational(read[0]) == value


@pytest.mark.parametrize("text", ["9^{9^9}", "2^{10^{10}}", "99999!", "0*9^{9^{9^9}}", "x*9^{9^9}"])
def test_giants_are_refused_unseen(text: str) -> None:
    read = parse(text)
    assert read is not None
    with pytest.raises(TooLarge):
        rational(read[0])


@pytest.mark.parametrize("text", ["\\pi", "\\sqrt{2}", "x", "\\frac{1}{0}", "(-8)^{1/3}"])
def test_what_has_no_rational_value(text: str) -> None:
    read = parse(text)
    assert read is not None
    with pytest.raises(NotRational):
        rational(read[0])


@pytest.mark.parametrize(
    "text", ["", "(", "2+", "\\frac{1}", "x_", "1 2", "\\int_0^1 x", "hello world", "f(0)", "(" * 500 + ")" * 500]
)
def test_what_the_parser_leaves_alone(text: str) -> None:
    assert parse(text) is None


def test_clean_takes_off_the_dress() -> None:
    assert clean("\\left( \\dfrac{1}{2},\\; \\text{cm} \\right)") == "( \\frac{1}{2}, ‹cm› )"
    assert clean("\\{1,2\\}") == "«1,2»"
    assert clean("11,\\! 111,\\! 111,\\! 100") == "11111111100"
    assert clean("\\boxed{\\color{blue}{42}}") == "{{42}}"
    assert clean("1 \\text{ and } 2 or 3") == "1 ∧ 2 ∨ 3"
    assert words("‹The Regular› Hexagon!") == ("regular", "hexagon")


EQUAL = [
    ("numbers", "1000.99", "1000,99"),
    ("numbers", "0,111", "0.111"),
    ("numbers", "7.0", "7"),
    ("decimals", "\\pi", "3.14159"),
    ("decimals", "\\frac{1}{7}", "0.142857"),
    ("decimals", "\\sqrt{17}", "4.123105625617661"),
    ("percent", "50\\%", "0.5"),
    ("percent", "50\\%", "50"),
    ("percent", "12.5\\%", "\\frac{1}{8}"),
    ("percent", "33\\frac{1}{3}\\%", "\\frac{100}{3}\\%"),
    ("units", "5\\text{ m}", "500\\text{ cm}"),
    ("units", "60\\text{ mph}", "60 miles per hour"),
    ("units", "45^\\circ", "\\frac{\\pi}{4}"),
    ("formulae", "x^2-1", "(x-1)(x+1)"),
    ("formulae", "\\tan^2(y)+1", "\\sec^2(y)"),
    ("formulae", "\\binom{n}{3}", "\\frac{n(n-1)(n-2)}{6}"),
    ("formulae", "-1", "e^{i\\pi}"),
    ("formulae", "\\arcsin(a)", "\\sin^{-1} a"),
    ("formulae", "\\tan 15^\\circ", "2-\\sqrt3"),
    ("formulae", "3^{2^{10}}", "9^{512}"),
    ("giants", "2^{10^{10}}", "2^{10^{10}}"),
    ("lists", "3, 4", "4 \\text{ or } 3"),
    ("lists", "\\pm 5", "-5, 5"),
    ("lists", "1 \\pm \\sqrt{19}", "1+\\sqrt{19}, 1-\\sqrt{19}"),
    ("lists", "p=5,q=2;p=7,q=2", "(5,2),(7,2)"),
    ("lists", "a_3 = 2, a_{37} = 19", "a_{37} = 19, a_3 = 2"),
    ("lists", "60^\\circ, 120^\\circ", "60,120"),
    ("tuples", "(1,\\frac{9}{2})", "(1, 4.5)"),
    ("tuples", "x=1,y=2", "(1,2)"),
    ("tuples", "(1,2,3)", "\\langle 1,2,3\\rangle"),
    ("sets", "\\{1,2\\}", "2, 1, 1"),
    ("sets", "\\emptyset", "\\text{no solution}"),
    ("intervals", "[0,\\infty)", "x \\ge 0"),
    ("intervals", "(-793, 10)", "-793 < a < 10"),
    ("intervals", "x < 1", "-x > -1"),
    ("intervals", "x < 1", "2x+3 < 5"),
    ("intervals", "[1,3]", "[1,2]\\cup[2,3]"),
    ("intervals", "(-\\infty,3)\\cup(3,\\infty)", "\\mathbb{R}\\setminus\\{3\\}"),
    ("intervals", "(-\\infty,-1)\\cup(1,\\infty)", "x>1 \\text{ or } x<-1"),
    ("intervals", "(0,1)", "]0,1["),
    ("matrices", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", 
     "\\left[\\begin{array}{cc}1.0&2\\\\3&\\frac82\\end{array}\\right]"),
    ("matrices", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", "(1,2)"),
    ("equations", "y=2x+3", "2x-y+3=0"),
    ("equations", "y=2x+3", "2x+3"),
    ("equations", "x^2+y^2=1", "2x^2+2y^2=2"),
    ("equations", "5", "x = 5"),
    ("equations", "42", "6 \\cdot 7 = 42"),
    ("ratios", "7:32", "14:64"),
    ("ratios", "7:32", "\\frac{7}{32}"),
    ("choices", "B", "(B) 42"),
    ("choices", "\\text{(C)}", "c"),
    ("choices", "B", "B: Paris"),
    ("texts", "\\text{Friday}", "friday."),
    ("texts", "\\text{yes}", "Yes, because it is odd"),
    ("bases", "204_5", "204_{5}"),
]  # fmt: skip

DIFFERENT = [
    ("numbers", "12345", "12.345"),
    ("numbers", "(1,234)", "1234"),
    ("numbers", "7 3/4", "73/4"),
    ("numbers", "10000", "10001"),
    ("decimals", "\\pi", "3.14160"),
    ("decimals", "\\pi", "\\frac{22}{7}"),
    ("decimals", "\\frac{2}{3}", "0.67"),
    ("decimals", "1", "0.9999999999"),
    ("percent", "20", "0.2"),
    ("percent", "5\\%", "0.5"),
    ("percent", "0.15", "1.5\\%"),
    ("units", "5\\text{ cm}", "5\\text{ m}"),
    ("units", "10\\text{ m/s}", "10\\text{ m/s}^2"),
    ("units", "\\frac{\\pi}{4}", "45"),
    ("units", "3m", "3"),
    ("formulae", "3x", "3y"),
    ("formulae", "2\\sqrt{3}", "3\\sqrt{2}"),
    ("formulae", "e^{-30}", "0"),
    ("formulae", "1", "\\cos(10^{-30})"),
    ("formulae", "\\sqrt{2}", "\\sqrt{2+10^{-30}}"),
    ("formulae", "\\frac{1}{2004!}", "\\frac{1}{2006!}"),
    ("formulae", "5", "\\infty"),
    ("giants", "5", "9^{9^{9^9}}-9^{9^{9^9}}+5"),
    ("giants", "0", "0 \\cdot 9^{9^{9^9}}"),
    ("giants", "2^{10^{10}}", "2^{10^{10}+1}"),
    ("lists", "5", "5, 6"),
    ("lists", "1,2", "1,2,3"),
    ("lists", "\\pm 5", "5"),
    ("lists", "a=3, b=4", "a=4, b=3"),
    ("lists", "1, 2, \\ldots, n", "1, 3, \\ldots, 2n-1"),
    ("tuples", "(1,2)", "(2,1)"),
    ("tuples", "(1,2),(3,4)", "(1,4),(3,2)"),
    ("tuples", "(3,1)", "1,3"),
    ("sets", "\\emptyset", "\\{0\\}"),
    ("sets", "\\{1,2\\}", "(1,2)"),
    ("intervals", "(1,2]", "(1,2)"),
    ("intervals", "(3,\\infty)", "x \\ge 3"),
    ("intervals", "42", "41 < x < 43"),
    ("intervals", "[0,1]\\cup[2,3]", "[0,3]"),
    ("matrices", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}"),
    ("equations", "y=2x+3", "y=2x-3"),
    ("equations", "7 = 11a+c", "11a+c"),
    ("equations", "5", "x+y=5"),
    ("equations", "42", "6 \\cdot 7 = 43"),
    ("ratios", "1:2:3", "1:4:9"),
    ("ratios", "12:00", "1:00"),
    ("choices", "B", "A or B"),
    ("choices", "B", "C) 42"),
    ("texts", "\\text{Tuesday}", "Thursday"),
    ("texts", "\\text{Alice and Bob}", "Alice"),
    ("texts", "\\text{yes}", "yes and no"),
    ("bases", "204_5", "204_6"),
    ("bases", "1010_2", "10"),
    ("nothing", "2", "("),
]


@pytest.mark.parametrize(("rung", "gold", "answer"), EQUAL)
def test_equal_answers_are_known_here(rung: str, gold: str, answer: str) -> None:
    assert compare(gold, answer)[0] is True


@pytest.mark.parametrize(("rung", "gold", "answer"), DIFFERENT)
def test_different_answers_are_known_here(rung: str, gold: str, answer: str) -> None:
    assert compare(gold, answer)[0] is False


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("|x|", "x"), ("(-1)^n", "\\cos(n\\pi)"), ("7", "\\int_0^7 dx"), ("\\sqrt{x^2}", "x"), ("0", "I(0)")],
)
def test_what_is_not_sure_is_passed_on(gold: str, answer: str) -> None:
    assert compare(gold, answer)[0] is None


def spellings(value: Fraction) -> list[str]:
    """Ways to write a rational number."""
    over, under = value.numerator, value.denominator
    ways = [
        f"\\frac{{{over}}}{{{under}}}",
        f"{over}/{under}",
        f"\\frac{{{3 * over}}}{{{3 * under}}}",
        f"x = {over}/{under}",
    ]
    ways += [
        f"\\left(\\dfrac{{{over}}}{{{under}}}\\right)",
        f"{100 * over}/{under} \\%",
        f"{over}/{under}\\text{{ cm}}",
    ]
    if abs(over) > under:
        whole, rest = divmod(abs(over), under)
        ways.append(f"{'-' * (over < 0)}{whole}\\frac{{{rest}}}{{{under}}}" if rest else f"{over // under:,}.0")
    if not 10**6 % under:
        ways += [f"{over * (10**6 // under)}e-6", f"{over * (10**6 // under)} \\times 10^{{-6}}"]
    return ways


@given(st.fractions(max_denominator=1000).filter(lambda value: abs(value) < 10**9), st.integers(1, 9))
def test_a_number_equals_its_spellings_and_not_its_neighbors(value: Fraction, near: int) -> None:
    gold = f"{value.numerator}/{value.denominator}" if value.denominator > 1 else str(value.numerator)
    for way in spellings(value):
        assert compare(gold, way)[0] is True, way
    neighbor = value + Fraction(near, 10**4 * value.denominator)
    for way in spellings(neighbor):
        if "%" not in way or neighbor * 100 != value:
            assert compare(gold, way)[0] is False, way
