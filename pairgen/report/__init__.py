"""Pages and pictures to judge pairs by eye."""
