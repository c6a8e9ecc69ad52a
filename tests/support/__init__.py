"""What several test folders need: real bundles, a registry, servers."""
