"""Kind and sizes of an encoder."""

from dataclasses import dataclass

KINDS = ("GRU", "LSTM", "Transformer")
MAX_GRANULARITY = 6  # the 50 space tokens are down to one after five halvings


@dataclass(frozen=True)
class EncoderConfig:
    """Kind and sizes of the hierarchical encoder; the defaults are the published ones.

    Raises:
        ValueError: a size that no encoder can have.
    """

    kind: str = "Transformer"
    hidden_size: int = 512
    num_heads: int = 4
    num_layers: int = 1
    granularity: int = 4
    time_features: int = 150
    space_features: int = 192
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"encoder {self.kind}: choose one of {', '.join(KINDS)}")
        if not 1 <= self.granularity <= MAX_GRANULARITY:
            raise ValueError(f"granularity {self.granularity}: choose 1 to {MAX_GRANULARITY}")
        parts = self.num_heads if self.kind == "Transformer" else 2
        if parts < 1 or self.hidden_size < parts or self.hidden_size % parts:
            what = "attention heads" if self.kind == "Transformer" else "directions"
            raise ValueError(f"hidden size {self.hidden_size} does not divide into {parts} {what}")
        if min(self.num_layers, self.time_features, self.space_features) < 1:
            raise ValueError("num_layers, time_features and space_features must be at least 1")

    @property
    def feature_size(self) -> int:
        """2·G·d, the length of the downstream feature."""
        return 2 * self.granularity * self.hidden_size
