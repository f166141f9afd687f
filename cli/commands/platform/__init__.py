"""Commands on what the platform offers: agents, tools, its routes as they are."""
