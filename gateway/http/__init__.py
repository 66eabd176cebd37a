"""What speaks HTTP: routes, layers around them, and problem documents."""
