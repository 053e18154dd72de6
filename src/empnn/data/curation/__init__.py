"""What is found out about whole sets of crystals."""
