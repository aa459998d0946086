"""Hardware: chips and what they hold, profiles and what events cost, placement, time and energy."""
