"""Plain, slow, independent re-computations that tests compare with and the benchmark times."""
