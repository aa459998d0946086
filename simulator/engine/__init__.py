"""The event engine: programs as tables, compiled loops, recording, calibration."""
