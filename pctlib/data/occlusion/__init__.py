"""Hiding parts of people: what is pasted over them, and how much of them."""
