"""Training: one loop for every model and objective, that can be stopped anywhere and goes on bit for bit."""
