"""What is said of a crystal, said once: why it is refused, why it is doubted, what is special about it."""
