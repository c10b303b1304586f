"""What is no stage: search, explanations of what was decided, Datumaro's NDR, the eps for a wanted share."""
