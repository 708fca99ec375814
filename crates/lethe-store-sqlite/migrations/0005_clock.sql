-- By how much the deployment's time is ahead of the wall clock, as an operator confirmed it: time
-- never runs back, so a wall clock that was put back stays behind, and time down counts all the same.
ALTER TABLE deployment ADD COLUMN clock_lag_ms INTEGER NOT NULL DEFAULT 0 CHECK (clock_lag_ms >= 0);
