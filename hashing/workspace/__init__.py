"""What a workspace holds, what of it is out of date, and what to run next."""
