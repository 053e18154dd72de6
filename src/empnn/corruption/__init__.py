"""What is wrong with a crystal: kinds of corruption, each of which gives crystals before and after."""
