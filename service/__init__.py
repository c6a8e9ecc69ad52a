"""The champion answers: HTTP face, batching, following the alias, prediction log, page, batch scoring."""
