"""Thin HTTP handlers: parse, call one service, answer."""
