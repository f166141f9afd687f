"""The application; it knows neither HTTP nor sockets."""
