"""What is wrong with a crystal: the kinds of noise a network learns to take away."""
