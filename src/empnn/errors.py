"""The exceptions a user can cause, each with a message that says what to do."""


class CrystalError(ValueError):
    """A crystal that cannot be used: `what is wrong; what to do`.

    The message does not name the file or the position in a list: whoever read the crystal adds that.
    """


class ConfigError(ValueError):
    """A configuration, model or data set that does not exist or contradicts itself."""


def in_words(error: BaseException) -> str:
    """An exception of a library on one short line."""
    return printable(" ".join(f"{type(error).__name__} {error}".split())[:160])


def printable(text: str) -> str:
    """The text with control characters, which could do anything to a terminal, made visible as question marks."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
