"""Classical methods, fitted in seconds: what a trained model is compared with, and what its wide part begins with."""
