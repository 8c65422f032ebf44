"""Effects in points, as sentences and charts say them: with their 95 % interval, where seeds make one."""

from tasks.comparison.interval import LEVEL, Effect


def half(found: Effect) -> float | None:
    """Half of the interval, in points; None with one seed."""
    return None if found.seeds < 2 else 100 * found.half(LEVEL)


def interval_text(found: Effect) -> str:
    """` ± 1.1`, to stand behind the effect; empty with one seed."""
    of_it = half(found)
    return "" if of_it is None else f" ± {of_it:.1f}"


def shown(found: Effect) -> bool:
    """Whether a difference is shown: its interval leaves 0 out, or there is none to say otherwise."""
    return abs(100 * found.mean) > (half(found) or 0.0)
