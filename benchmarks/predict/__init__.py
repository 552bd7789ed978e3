"""What `evenpatch predict` takes, and what it leaves when it is killed."""
