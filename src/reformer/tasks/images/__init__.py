"""Image tasks: classification and captioning."""
