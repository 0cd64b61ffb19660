"""What a task of each type leaves behind, and what that comes to: `./mofsim bench capacity`."""
