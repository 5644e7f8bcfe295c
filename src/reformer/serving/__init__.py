"""HTTP server of trained runs: the same answers as `reformer predict`, for programs, browsers and annotation tools."""
