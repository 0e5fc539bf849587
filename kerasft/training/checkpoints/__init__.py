"""What a training saves and starts from."""
