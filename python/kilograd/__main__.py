"""`python -m kilograd` is the command line."""

from kilograd.cli import main

main()
