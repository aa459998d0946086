"""tdd-deploy: spiking networks from the trainer to the chip, executed as changes between time steps."""

__version__ = "0.1.0"
