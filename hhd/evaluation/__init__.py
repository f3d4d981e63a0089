"""Prediction with a flip test, PCK and its AUC, COCO AP, and tables of them."""
