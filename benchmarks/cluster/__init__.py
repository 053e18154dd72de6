"""What a cluster costs, and what it loses when its parts are killed."""
