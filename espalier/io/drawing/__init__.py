"""Pictures for people: plots and contact sheets, as PNG bytes."""
