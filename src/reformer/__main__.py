"""`python -m reformer`, which `torchrun -m reformer` needs."""

from reformer.cli import main

if __name__ == "__main__":
    main()
