"""The ``espalier`` command: thin; it launches the same assets as the UI does. One subcommand a file."""
