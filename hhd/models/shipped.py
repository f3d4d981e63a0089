"""The pose network that comes with the package."""

from pathlib import Path

SHIPPED = Path(__file__).with_name("lsp14_160.safetensors")
"""14 joints of one person, 160x160 pixels, 1.06 M parameters in float16; its card says what it was
trained on."""
