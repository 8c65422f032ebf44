"""A claim's interval as a small bar, between no difference and the smallest that matters. SVG without a library.

Colours are the page's: `class` names what a rule of its style sheet draws.
"""

from tasks.comparison.verdicts import Verdict

WIDTH, HEIGHT, MIDDLE, MARGIN = 320, 46, 22, 14


def bar(verdict: Verdict) -> str:
    """The interval against 0 (a line) and `more_than` (a dashed line), in points; empty without an effect."""
    if verdict.effect is None:
        return ""
    ends = [end for end in (verdict.lower, verdict.upper) if end is not None] or [verdict.effect]
    shown = [0.0, verdict.more_than, verdict.effect, *ends]
    low, high = min(shown), max(shown)
    scale = (WIDTH - 2 * MARGIN) / ((high - low) or 1.0)

    def place(points: float) -> str:
        return f"{MARGIN + scale * (points - low):.1f}"

    zero, least, effect = place(0.0), place(verdict.more_than), place(verdict.effect)
    parts = [
        f'<line class="zero" x1="{zero}" x2="{zero}" y1="12" y2="{HEIGHT - 12}"/>',
        f'<text x="{zero}" y="{HEIGHT - 2}">0</text>',
        f'<line class="least" x1="{least}" x2="{least}" y1="12" y2="{HEIGHT - 12}"/>',
        f'<text x="{least}" y="9">{verdict.more_than:.1f}</text>',
        f'<rect x="{place(min(ends))}" y="{MIDDLE - 3}" width="{scale * (max(ends) - min(ends)):.1f}" height="6"/>',
        f'<circle cx="{effect}" cy="{MIDDLE}" r="5"/>',
    ]
    within = f", interval {min(ends):+.1f} to {max(ends):+.1f}" if len(ends) > 1 else ""  # one seed has none
    said = f"{verdict.effect:+.1f} points{within}, against {verdict.more_than:.1f}"
    return (
        f'<svg class="bar {verdict.verdict}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">'
        f"{''.join(parts)}</svg>"
    )
