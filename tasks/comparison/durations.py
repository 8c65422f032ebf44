"""How a duration is said."""


def duration(seconds: float) -> str:
    """As a reader plans with it: `40 s`, `3.4 min`, `12 min`, `3 h 20 min`."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 570 else f"{minutes} min"
