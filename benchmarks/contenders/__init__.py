"""Who is measured: our operations and models, and those of others, each behind the same actions."""
