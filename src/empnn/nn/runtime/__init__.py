"""How a network is run: threads, batches split among them, settings of the process."""
