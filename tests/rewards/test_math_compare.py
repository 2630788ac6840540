"""The ladder as a whole: pairs that it must call equal, different, or pass on to math-verify."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.math.compare import compare

EQUAL = [
    ("numbers", "1000.99", "1000,99"),
    ("numbers", "0,111", "0.111"),
    ("numbers", "7.0", "7"),
    ("decimals", "\\pi", "3.14159"),
    ("decimals", "\\frac{1}{7}", "0.1428571429"),
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
    ("formulae", "\\sqrt{x}\\sqrt{y}", "\\sqrt{xy}"),
    ("formulae", "\\mathbf{i}+2\\mathbf{j}", "2\\mathbf{j}+\\mathbf{i}"),
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
    ("intervals", "-2 < x < 5", "x > -2 \\text{ and } x < 5"),
    ("matrices", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", 
     "\\left[\\begin{array}{cc}1.0&2\\\\3&\\frac82\\end{array}\\right]"),
    ("matrices", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", "(1,2)"),
    ("equations", "y=2x+3", "2x-y+3=0"),
    ("equations", "y=2x+3", "2x+3"),
    ("equations", "x^2+y^2=1", "2x^2+2y^2=2"),
    ("equations", "5", "x = 5"),
    ("equations", "42", "6 \\cdot 7 = 42"),
    ("equations", "5", "|z| = 5"),
    ("equations", "3/5", "\\sin A = 0.6"),
    ("complex", "3+4i", "3+4j"),
    ("decimals", "0.1", "0.10000000000000001"),
    ("decimals", "0.25", "25\\%"),
    ("numbers", "42", "XLII"),
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
    ("decimals", "\\frac{1}{3}", "0.333333"),
    ("decimals", "0.1", "0.10000000000000002"),
    ("decimals", "0.25", "0.25\\%"),
    ("complex", "3+4j", "3+4i+1"),
    ("numbers", "42", "XLIII"),
    ("numbers", "42", "IIIII"),
    ("equations", "7", "2x = 7"),
    ("equations", "7", "\\log x = 7"),
    ("equations", "1", "|x| = 1"),
    ("equations", "|x| = 1", "x = 1"),
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
    ("choices", "B", "(B),(C)"),
    ("equations", "5", "x=6=5"),
    ("intervals", "5", "\\ge 5"),
    ("intervals", "5", "\\neq 5"),
    ("intervals", "[0,2]", "x \\ge 0 \\text{ and } x < 2"),
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


@pytest.mark.parametrize("depth", [1, 2, 3, 1000])
def test_braces_around_a_half_open_interval(depth: int) -> None:
    """Brackets of two kinds close each other there, but braces must still come off without end or error."""
    answer = "{" * depth + "[0,3)" + "}" * depth
    assert compare("[0,3)", answer)[0] is (True if depth == 1 else None)
    assert compare("[0,4)", answer)[0] is not True
