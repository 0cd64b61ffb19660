"""What is done day by day: old logs are archived, old trajectories compressed, expired results cleared."""
