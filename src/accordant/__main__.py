"""`python -m accordant` is the command `accordant`."""

from accordant.cli.main import main

main()
