"""The search for the best values of keys: trials that are ordinary runs, shared among processes by a storage."""

from importlib.util import find_spec

from empnn.errors import ConfigError

if find_spec("optuna") is None:
    raise ConfigError("a search needs optuna: pip install 'empnn[sweep]'")
