"""The compiled library in torches other than the development environment's."""
