"""The service: HTTP, batching, the followed champion, the prediction log, pages, batch scoring, a client."""
