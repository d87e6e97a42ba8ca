"""The slow, obvious reference of every design; the tests compare the model with it."""

from naive.designs import NAIVE
from naive.host import UNCLEARED, ZERO, Content, Host
from naive.vm import Naive, Shape

__all__ = ["NAIVE", "UNCLEARED", "ZERO", "Content", "Host", "Naive", "Shape"]
