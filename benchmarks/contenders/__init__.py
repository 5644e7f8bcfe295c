"""The contenders: our operations and models, and those of others, each behind the same actions."""
