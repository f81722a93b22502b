"""The planner on a real cluster: how soon it writes, and how near the simulator's prediction comes."""
