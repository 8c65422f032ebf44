"""What is recorded beside the figures: what stages were observed to cost, and the runs in MLflow."""
