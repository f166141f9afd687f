"""Commands on who may do what, and who did: tokens, keys, profiles, the audit trail."""
