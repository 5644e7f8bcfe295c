"""Our runs and models in other libraries, which an extra of their own installs."""
