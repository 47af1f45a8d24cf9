"""What the network reaches: the door for webhooks, the console, the health page."""
