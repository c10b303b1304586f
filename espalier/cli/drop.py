"""``espalier drop``: a human verdict, kept in the dataset's card."""

from espalier.cli.verdicts import verdict_command

command = verdict_command("drop", "dropped from now on")
