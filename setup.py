"""Builds the distribution; everything about it is said in pyproject.toml."""

from setuptools import setup

setup()
