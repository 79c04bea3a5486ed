"""`python -m tests.parity`: the table of golden arrays and differences."""

from tests.parity.parity import main

main()
