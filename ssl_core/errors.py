"""What a user can put right."""


class Refused(ValueError):
    """The input cannot be used; the message is one sentence: what, where, and what is allowed."""
