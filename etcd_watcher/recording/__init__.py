"""What happened, in a file: written while it happens or afterwards, read again, played again."""
