"""What is done to whole sets of crystals: described, compared, laid onto each other, cleared of duplicates, split."""
