"""A moving-anatomy phantom with exactly known target motion: settings, motion, anatomy and their rendering."""

from __future__ import annotations

from drivers.phantom.render import Phantom, Truth
from drivers.phantom.settings import BreathHold, Breathing, Cough, PhantomSettings, TargetLoss, Trace

__all__ = ["BreathHold", "Breathing", "Cough", "Phantom", "PhantomSettings", "TargetLoss", "Trace", "Truth"]
