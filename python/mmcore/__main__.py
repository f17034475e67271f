"""``python -m mmcore``: the command line, where ``mmcore`` is not on the path."""

from .cli import main

if __name__ == "__main__":
    main()
