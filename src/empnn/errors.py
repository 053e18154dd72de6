"""The exceptions a user can cause, each with a message that says what to do."""


class CrystalError(ValueError):
    """A crystal that cannot be used: `what is wrong; what to do`.

    The message does not name the file or the position in a list: whoever read the crystal adds that.
    """


class ConfigError(ValueError):
    """A configuration, model or data set that does not exist or contradicts itself."""
