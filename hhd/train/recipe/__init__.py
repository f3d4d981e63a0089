"""What a training run is told: one flat schema, its fields by subject, and how it is read."""

from hhd.train.recipe.parse import SHIPPED, find_recipe, load_recipe, parse_recipe
from hhd.train.recipe.schema import FREE, Recipe

__all__ = ["FREE", "SHIPPED", "Recipe", "find_recipe", "load_recipe", "parse_recipe"]
