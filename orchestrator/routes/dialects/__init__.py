"""The platform's documented names of requests and answers, translated to this service's own and back."""
