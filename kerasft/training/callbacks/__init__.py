"""What listens to a training: the terminal, TensorBoard, history.csv and others."""
