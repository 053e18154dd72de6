"""What is done to whole sets of crystals: described, compared, cleared of duplicates, split."""
