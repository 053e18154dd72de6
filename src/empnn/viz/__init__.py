"""Pictures of crystals and of what a relaxation did to them."""
