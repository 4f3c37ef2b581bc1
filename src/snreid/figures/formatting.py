"""Numbers as text: shares as percent, differences as points, intervals, p values."""

from snreid.records import Interval

MINUS, DASH, SPACE = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{NO-BREAK SPACE}"


def percent(share: float) -> str:
    """A share between 0 and 1 in percent with one decimal, without the sign: 0.4123 -> ``41.2``."""
    return f"{100 * share:.1f}"


def points(share: float) -> str:
    """A difference of shares in points with its sign: 0.031 -> ``+3.1``; what rounds to zero has no sign."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def p_text(p_value: float) -> str:
    """A p value: ``p = 0.03``, never ``p = 0``."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"


def minus_signs(text: str) -> str:
    """The text with typographic minus signs in place of hyphens."""
    return text.replace("-", MINUS)


def percent_range(interval: Interval) -> str:
    """The bounds in percent: ``38.0–44.1``."""
    return f"{percent(interval.low)}{DASH}{percent(interval.high)}"


def percent_with_interval(value: float, interval: Interval) -> str:
    """A share and its interval in percent: ``41.2 [38.0, 44.1]``."""
    return f"{percent(value)} [{percent(interval.low)}, {percent(interval.high)}]"


def points_with_interval(value: float, interval: Interval) -> str:
    """A difference and its interval in points, with signs: ``+3.1 [−0.2, +6.4]``."""
    return minus_signs(f"{points(value)} [{points(interval.low)}, {points(interval.high)}]")
