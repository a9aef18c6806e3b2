"""Photos to work on and what is known of them: lists, images, pair labels."""
