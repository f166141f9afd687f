"""Pure decisions over the models: they return what to do, someone else does it."""
