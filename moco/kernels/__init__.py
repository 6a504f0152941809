"""The same sums as PyTorch's, faster; what depends on the device lives here."""
