"""What starts runs: the landing sensor, the eager rules' sensor, the nightly refresh. Decisions are pure functions."""
