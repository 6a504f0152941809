"""People that move and a sensor that watches them: what the default data set is recorded from."""
