"""Spans: how they are made (`spans`, `recorder`) and sent (`export`), and what they say (`doors`, `work`, `calls`)."""
