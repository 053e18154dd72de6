"""By energy: relaxers beside each other, judged by potentials and by density functional theory."""
