"""What the service builds on in libraries beyond their documentation: one module a library, and their tried versions.

`docs/decisions/0009-inside-libraries.md` lists all of it; `tests/frameworks` tells which library has moved.
"""
