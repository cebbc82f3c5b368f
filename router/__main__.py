"""``python -m router`` is ``router``."""

# Processes that a command starts import this module too, and need no commands.
if __name__ == "__main__":
    from router.cli import main

    main()
