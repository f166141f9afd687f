"""Notifications to users and tenants."""
