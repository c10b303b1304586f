"""``espalier drop``: a human verdict, kept in the dataset's card."""

from espalier.cli.keep import verdict_command

command = verdict_command("drop", "dropped from now on")
