"""What each radius costs on a collection, measured on its own pairs."""
