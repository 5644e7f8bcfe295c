"""Recipes in, trained models out; and what a trained model is good for: evaluation and prediction."""
