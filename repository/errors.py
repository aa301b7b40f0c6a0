"""What ends a run: one sentence for who runs it."""


class Refused(Exception):
    """The repository can't be made; the message says what is wrong and what to do."""
