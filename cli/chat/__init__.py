"""`chat`: interactive chats and single questions."""
