"""What vaeglow is compared with."""
