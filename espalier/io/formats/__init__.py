"""Dataset formats: ``read`` gives samples in batches, ``write`` puts kept samples into a folder."""
