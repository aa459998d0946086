"""Options of the commands, each declared once: one frozen dataclass per concern. Standard library only."""
