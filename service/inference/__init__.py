"""The model in memory: following the registry, batching texts, caching and logging predictions."""
