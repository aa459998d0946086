"""What hardware holds, how long it takes and what it costs: chips, profiles, placement, energy."""
