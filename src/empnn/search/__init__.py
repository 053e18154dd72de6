"""The search for the best values of keys: trials that are ordinary runs, shared among processes by a storage."""
