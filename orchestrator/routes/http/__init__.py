"""How a route becomes an HTTP endpoint and a part of the OpenAPI document."""
