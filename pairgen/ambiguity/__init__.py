"""Where a reconstruction may deceive: look-alikes, articulation points, models that disagree."""
