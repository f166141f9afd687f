"""Operations of downstream services, and what a user's plan needs to call them."""
