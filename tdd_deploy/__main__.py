"""``python -m tdd_deploy``, as ``torchrun -m tdd_deploy`` starts it."""

from .cli import main

main()
