"""The model: its folder, its network, its card."""
