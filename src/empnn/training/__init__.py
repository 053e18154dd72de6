"""Training: configuration, Lightning module, checkpoints."""
