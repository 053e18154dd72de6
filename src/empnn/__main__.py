"""`python -m empnn`: the `empnn` command, where its script is not on the path."""

from empnn.cli import main

if __name__ == "__main__":
    main()
