"""Plan of a run before it is begun: its size, and the memory and the time that it will take on this machine."""

from reformer.insight.plan.growth import Growth, Shape, crossing, fitted
from reformer.insight.plan.plan import Plan, plan_run

__all__ = ["Growth", "Plan", "Shape", "crossing", "fitted", "plan_run"]
