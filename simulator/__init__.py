"""Execution of Programs: the reference, the event engine, what they count and what it costs."""
