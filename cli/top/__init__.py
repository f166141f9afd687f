"""The screens of `top`: the service, a tenant, a task; made with Textual, which is optional."""
