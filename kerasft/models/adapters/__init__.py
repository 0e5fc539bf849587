"""Small trainable parts of a frozen encoder: LoRA and bottleneck layers."""
