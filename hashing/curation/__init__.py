"""Acting on groups of copies: what is kept, what is moved, linked or put into the trash, and how it comes back."""
