"""Side by side with other ways to do the same."""
