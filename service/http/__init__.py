"""HTTP: connections, request bodies, routes, pages and error responses."""
