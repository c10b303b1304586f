"""``espalier keep``: a human verdict, kept in the dataset's card."""

from espalier.cli.verdicts import verdict_command

command = verdict_command("keep", "kept, whatever the stages say (a recipe still keeps its exact number)")
